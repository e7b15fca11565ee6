"""The way to an origin that has an address: modes, certificates, pages of what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.twin.edge.harness import SITE, ZONE, Site, run, running
from twin import authorities
from twin.clock import Clock
from twin.edge.direct import CLIENT_CERTIFICATE, PULLS, ZONE_SETTING, Direct
from twin.edge.routes import RECORD
from twin.store import Store

ADDRESS = "203.0.113.9"


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def issued(authority: authorities.Pair, *names: str, client: bool = False) -> authorities.Pair:
    """A certificate of an authority, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    made = authorities.signed(
        authority,
        subject=authorities.named("o", "u", names[0] if names else "edge"),
        public=key.public_key(),
        names=names,
        days=1,
        use=use,
    )
    return authorities.Pair(
        certificate=authorities.text(made), key=_pem(key), authority=authority.certificate
    )


def other_authority() -> authorities.Pair:
    store = Store(":memory:")
    made = authorities.origin_ca(store)
    store.close()
    return made


@dataclass
class Origin:
    """A server behind the relay; remembers where it was thought to be, and who showed what."""

    site: Site
    asked: list[str] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def setting(self, name: str, value: str) -> None:
        outputs = {"zoneId": ZONE["id"], "settingId": name, "value": value}
        self.site.store.put(ZONE_SETTING, name, {}, outputs)

    async def get(self, path: str = "/") -> tuple[int, str]:
        async with self.site.client.get(self.site.url(path)) as answer:
            return answer.status, await answer.text()


async def _answer(origin: Origin, request: web.BaseRequest) -> web.StreamResponse:
    assert request.transport is not None
    der = request.transport.get_extra_info("ssl_object")
    raw = der.getpeercert(binary_form=True) if der is not None else None
    if raw:
        origin.shown.append(x509.load_der_x509_certificate(raw).serial_number)
    origin.hosts.append(request.headers["Host"])
    return web.Response(text="from the origin")


@contextlib.asynccontextmanager
async def behind(
    home: Path,
    present: authorities.Pair | None,
    *,
    ask: str = "",
    listening: bool = True,
    content: str = ADDRESS,
    raw: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None,
) -> AsyncIterator[Origin]:
    """An edge whose record leads to an origin that presents a certificate and may ask for one."""
    async with running(home) as site:
        origin = Origin(site)
        record = {"zoneId": ZONE["id"], "type": "AAAA" if ":" in content else "A", "name": SITE}
        site.store.put(RECORD, "r1", {}, {**record, "proxied": True, "content": content})
        own = issued(authorities.origin_ca(site.store), SITE) if present is None else present
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (home / "own.pem").write_text(own.certificate + own.key)
        tls.load_cert_chain(home / "own.pem")
        if ask:
            tls.load_verify_locations(cadata=ask)
            tls.verify_mode = ssl.CERT_REQUIRED
        runner = web.ServerRunner(web.Server(lambda r: _answer(origin, r)), shutdown_timeout=0.1)
        await runner.setup()
        ports: dict[str, int] = {}
        for name, context in (("443", tls), ("80", None)):
            listener = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await listener.start()
            ports[name] = int(runner.addresses[-1][1])
        if raw is not None:
            server = await asyncio.start_server(raw, "127.0.0.1", 0)
            ports["443"] = server.sockets[0].getsockname()[1]
        relay = await asyncio.start_unix_server(
            lambda r, w: _relay(origin, ports if listening else {}, r, w),
            str(site.run_dir / "origins.sock"),
        )
        try:
            yield origin
        finally:
            relay.close()
            await runner.cleanup()


async def _relay(
    origin: Origin, ports: dict[str, int], reader: asyncio.StreamReader, writer: Any
) -> None:
    """As HAProxy does: the PROXY header says where to; hang up where nobody listens."""
    line = (await reader.readline()).decode().strip()
    origin.asked.append(line)
    port = ports.get(line.split()[-1])
    if port is None:
        writer.close()
        return
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))


async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    sink.close()


def test_strict_takes_an_origin_certificate_for_the_host(tmp_path: Path) -> None:
    async def check() -> None:
        async with behind(tmp_path / "home", None) as origin:
            origin.setting("ssl", "strict")
            assert await origin.get() == (200, "from the origin")
            assert re.fullmatch(
                rf"PROXY TCP4 162\.158\.\d+\.\d+ {ADDRESS} \d+ 443", origin.asked[0]
            )
            assert origin.hosts[0].split(":")[0] == SITE
            assert origin.shown == [], "nobody asked for a client certificate"

    run(check())


def test_strict_refuses_what_full_takes(tmp_path: Path) -> None:
    async def check() -> None:
        stranger = other_authority()
        for index, present in enumerate((issued(stranger, SITE), issued(stranger, "x.example"))):
            async with behind(tmp_path / f"home{index}", present) as origin:
                origin.setting("ssl", "strict")
                status, page = await origin.get()
                assert status == 526, page
                origin.setting("ssl", "full")
                assert (await origin.get())[0] == 200

    run(check())


def test_strict_refuses_the_origin_cas_certificate_for_another_name(tmp_path: Path) -> None:
    async def check() -> None:
        async with behind(tmp_path / "home", None) as origin:
            wrong = issued(authorities.origin_ca(origin.site.store), "other.payments.localhost")
        async with behind(tmp_path / "home", wrong) as origin:
            origin.setting("ssl", "strict")
            assert (await origin.get())[0] == 526

    run(check())


def test_flexible_speaks_plain_http(tmp_path: Path) -> None:
    async def check() -> None:
        async with behind(tmp_path / "home", None) as origin:
            origin.setting("ssl", "flexible")
            assert (await origin.get())[0] == 200
            assert origin.asked[0].endswith(" 80")

    run(check())


def test_the_zones_last_certificate_is_shown_else_everybodys_shared_one(tmp_path: Path) -> None:
    async def check() -> None:
        ours = other_authority()
        own = [issued(ours, client=True) for _ in range(2)]
        serials = [
            x509.load_pem_x509_certificate(p.certificate.encode()).serial_number for p in own
        ]
        async with behind(tmp_path / "home", None, ask=ours.certificate) as origin:
            store = origin.site.store
            origin.setting("ssl", "strict")
            store.save(PULLS, ZONE["id"], True)
            for index, pair in enumerate(own):
                outputs = {
                    "zoneId": ZONE["id"],
                    "certificate": pair.certificate,
                    "privateKey": pair.key,
                    "uploadedOn": f"2026-01-0{index + 1}T00:00:00Z",
                }
                store.put(CLIENT_CERTIFICATE, f"c{index}", {}, outputs)
            assert (await origin.get())[0] == 200
            assert origin.shown == [serials[1]]
            store.remove(CLIENT_CERTIFICATE, "c1")
            assert (await origin.get())[0] == 200
            assert origin.shown[-1] == serials[0]
            store.remove(CLIENT_CERTIFICATE, "c0")
            assert (await origin.get())[0] in (520, 525), "the shared one is not ours"

    run(check())


def test_a_certificate_is_shown_once_it_is_deployed(tmp_path: Path) -> None:
    async def check() -> None:
        ours = other_authority()
        async with behind(tmp_path / "home", None, ask=ours.certificate) as origin:
            store = origin.site.store
            origin.setting("ssl", "strict")
            store.save(PULLS, ZONE["id"], True)

            def upload() -> int:
                pair = issued(ours, client=True)
                made = x509.load_pem_x509_certificate(pair.certificate.encode())
                outputs = {
                    "zoneId": ZONE["id"],
                    "certificate": pair.certificate,
                    "privateKey": pair.key,
                    "uploadedOn": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                }
                store.put(CLIENT_CERTIFICATE, f"{made.serial_number:x}", {}, outputs)
                return made.serial_number

            first = upload()
            assert (await origin.get())[0] in (520, 525), "on its way, it is not shown yet"
            origin.site.edge.clock.advance(authorities.DEPLOYING_SECONDS)
            assert (await origin.get())[0] == 200
            assert origin.shown == [first]

    run(check())


def test_the_one_before_is_shown_while_the_next_is_on_its_way(tmp_path: Path) -> None:
    store = Store(":memory:")
    clock = Clock()
    direct = Direct(store, tmp_path, "", clock)
    store.save(PULLS, ZONE["id"], True)
    for name, ago in (("before", 3600), ("next", 0)):
        at = datetime.now(UTC) - timedelta(seconds=ago)
        pair = {"certificate": name, "privateKey": "", "uploadedOn": at.isoformat()}
        store.put(CLIENT_CERTIFICATE, name, {}, {"zoneId": ZONE["id"], **pair})

    def shown() -> str:
        pair = direct.client(ZONE["id"])
        return pair.certificate if pair else ""

    assert shown() == "before"
    clock.advance(authorities.DEPLOYING_SECONDS)
    assert shown() == "next"
    store.remove(CLIENT_CERTIFICATE, "next")
    assert shown() == "before"
    store.remove(CLIENT_CERTIFICATE, "before")
    assert shown() not in {"before", "next", ""}, "everybody's, where the zone has none"
    store.close()


def test_strict_refuses_an_origin_certificate_that_was_revoked(tmp_path: Path) -> None:
    async def check() -> None:
        async with behind(tmp_path / "home", None) as origin:
            own = issued(authorities.origin_ca(origin.site.store), SITE)
        async with behind(tmp_path / "home", own) as origin:
            origin.setting("ssl", "strict")
            assert (await origin.get())[0] == 200
            authorities.revoke(origin.site.store, own.certificate)
            assert (await origin.get())[0] == 526
            origin.setting("ssl", "full")
            assert (await origin.get())[0] == 200, "full looks at nothing"

    run(check())


def test_the_shared_certificate_is_shown_where_the_zone_has_none(tmp_path: Path) -> None:
    async def check() -> None:
        async with behind(tmp_path / "home", None) as origin:
            shared = authorities.shared_client(origin.site.store)
        async with behind(tmp_path / "home", None, ask=shared.authority) as origin:
            origin.setting("tls_client_auth", "on")
            assert (await origin.get())[0] == 200
            assert len(origin.shown) == 1

    run(check())


def test_each_failure_has_its_page(tmp_path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"SSH-2.0-nonsense\r\n")
        writer.close()

    async def check() -> None:
        async with behind(tmp_path / "a", None, listening=False) as origin:
            status, page = await origin.get()
            assert (status, "Error 521" in page) == (521, True)
        async with behind(tmp_path / "b", None, raw=hang_up) as origin:
            assert (await origin.get())[0] == 525
        async with behind(tmp_path / "c", None, content="2001:db8::1") as origin:
            assert (await origin.get())[0] == 523
        async with behind(tmp_path / "d", None) as origin:
            (origin.site.run_dir / "origins.sock").unlink()
            assert (await origin.get())[0] == 523, "no relay stands"

    run(check())
