"""Origins cannot be reached around the edge: for every ingress, tried from outside it.

Strangers are containers on the twin's internet. Whoever gets as far as an address of Cloudflare's
published ranges (any customer of Cloudflare does) is played from the point of presence.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import docker
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.e2e import scanner
from tests.e2e.conftest import _NOTHING, Platform
from tools import smoke
from tools.paths import Home
from twin import authorities
from twin.machines.addresses import EDGE_ADDRESS
from twin.ports import first_free
from twin.store import Store

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HOST = "pay.payments.localhost"
HEALTH = "/_gateway/health"
_SCANNER = "python:3.13-slim"
_SCAN = Path(scanner.__file__).read_text()
_OPEN = [7, 22443, 65535]
"""The ports of a container that every scan must find, or it would find nothing anywhere."""
_FILES = scanner.AT_ONCE + 256
_LISTEN = f"""
import select, socket
servers = [socket.create_server(("", port)) for port in {_OPEN}]
print("listening", flush=True)
while True:
    for server in select.select(servers, [], [])[0]:
        server.accept()[0].close()
"""


@dataclass
class Outside:
    """What can be done to a platform from outside its edge."""

    platform: Platform

    def droplet(self) -> tuple[str, str]:
        """The droplet's own public address, and its reserved one if it has one."""
        outputs = json.loads(self.platform.engine("stack", "output", "--json"))
        reserved = outputs["reserved_addresses"] or [""]
        return outputs["hosts"][0], reserved[0]

    def balancer(self) -> str:
        kept = self._documents("machines.balancer")
        return str(json.loads(kept[0])["public"])

    def open_ports(self, *addresses: str) -> list[list[int]]:
        """Every TCP port of each address, tried from a container on the twin's internet.

        Beside them stands a container whose open ports are known: a scan that misses one fails.
        """
        network = f"{self.platform.home.instance}-internet"
        containers = self.platform.client.containers
        labels = {"payments.twin": self.platform.home.instance}
        beside = containers.run(
            _SCANNER, ["python", "-c", _LISTEN], network=network, labels=labels, detach=True
        )
        try:
            next(beside.logs(stream=True))  # it listens
            beside.reload()
            known = beside.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
            said = containers.run(
                _SCANNER,
                ["python", "-c", _SCAN, known, *addresses],
                network=network,
                labels=labels,
                ulimits=[docker.types.Ulimit(name="nofile", soft=_FILES, hard=_FILES)],
                remove=True,
            )
        finally:
            beside.remove(force=True)
        found: dict[str, list[int]] = json.loads(said.decode())
        assert found[known] == _OPEN, "a scan that misses what is open proves nothing"
        return [found[address] for address in addresses]

    def ask(
        self,
        address: str,
        *,
        source: str = EDGE_ADDRESS,
        name: str = HOST,
        host: str = HOST,
        pair: authorities.Pair | None = None,
        header: str = "",
    ) -> str:
        """What an HTTPS client on the point of presence gets from an address; empty for nothing."""
        pop = self.platform.client.containers.get(f"{self.platform.home.instance}-pop")
        command = ["openssl", "s_client", "-quiet", "-connect", f"{address}:443"]
        command += ["-bind", source] if source else []
        command += ["-servername", name] if name else ["-noservername"]
        if pair is not None:
            pop.put_archive("/tmp", _tar("client.pem", pair.certificate + pair.key))  # noqa: S108
            command += ["-cert", "/tmp/client.pem", "-key", "/tmp/client.pem"]  # noqa: S108
        request = (
            f"GET {HEALTH} HTTP/1.1\\r\\nHost: {host}\\r\\n{header}Connection: close\\r\\n\\r\\n"
        )
        line = f"printf '{request}' | timeout 6 {' '.join(command)} 2>/dev/null"
        return str(pop.exec_run(["sh", "-c", line]).output.decode(errors="replace"))

    def ours(self) -> authorities.Pair:
        """The certificate that the zone's edge presents: what a thief of it could do."""
        for row in self._records("AuthenticatedOriginPullsCertificate"):
            return authorities.Pair(
                certificate=row["certificate"], key=row["privateKey"], authority=""
            )
        pytest.fail("no client certificate was uploaded")

    def shared(self) -> authorities.Pair:
        """The client certificate that all of Cloudflare's customers share."""
        store = Store(self.platform.home.path / "twin.db")
        try:
            return authorities.shared_client(store)
        finally:
            store.close()

    def gateway_log(self) -> str:
        config = str(self.platform.home.path / "ssh" / "config")
        remote = "docker logs --tail 50 $(docker ps -q --filter name=gateway) 2>&1"
        address = self.droplet()[0]
        return subprocess.run(
            ["ssh", "-F", config, f"deploy@{address}", remote],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout

    def _records(self, kind: str) -> Iterator[dict[str, Any]]:
        for text in self._rows("SELECT outputs FROM resource WHERE token LIKE ?", f"%:{kind}"):
            yield json.loads(text)

    def _documents(self, collection: str) -> list[str]:
        return list(self._rows("SELECT value FROM document WHERE collection = ?", collection))

    def _rows(self, statement: str, argument: str) -> Iterator[str]:
        with sqlite3.connect(f"file:{self.platform.home.path}/twin.db?mode=ro", uri=True) as base:
            yield from (row[0] for row in base.execute(statement, (argument,)))


def _tar(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def _stranger() -> authorities.Pair:
    """A client certificate of somebody's own making, right in everything but its signer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Origin pulls")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return authorities.Pair(certificate=authorities.text(made), key=pem.decode(), authority="")


@pytest.fixture(scope="module")
def exposed(engine_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform that is reached directly; a later test gives it a load balancer."""
    home = Home(tmp_path_factory.mktemp("another instance") / "home")
    made = Platform(home=home, port=first_free(9543), client=engine_client, before=_NOTHING)
    made.environment = {
        **{name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        "PAYMENTS_HOME": str(home.path),
        "PORT": str(made.port),
    }
    try:
        made.first_up = made.make("up", "INGRESS=direct")
        yield made
    finally:
        if home.path.exists():
            made.make("down", check=False)
        shutil.rmtree(home.run_dir, ignore_errors=True)


def _stays_as_it_is(platform: Platform) -> None:
    said = platform.make("up")
    assert re.search(r"Up in \d+ s: no changes\.", said), said


def _answers(platform: Platform) -> None:
    status, body = smoke.get(f"{platform.url}/health", platform.home.path / "ca.pem")
    assert status == 200, body


def _refuses_all_but_our_edge(outside: Outside, address: str) -> None:
    """Every lock of the gateway by itself, the others open; and once all of them open."""
    ours = outside.ours()
    answer = outside.ask(address, pair=ours)
    assert answer.startswith("HTTP/1.1 200 "), f"the edge itself must get through: {answer!r}"
    assert outside.ask(address) == "", "without a client certificate"
    assert outside.ask(address, pair=_stranger()) == "", "with a certificate of one's own"
    assert outside.ask(address, pair=outside.shared()) == "", "with what all customers share"
    assert outside.ask(address, pair=ours, name="www.payments.localhost") == "", "another name"
    assert outside.ask(address, pair=ours, name="") == "", "by its address, without a name"
    foreign = outside.ask(address, pair=ours, host="evil.example.org")
    assert foreign.startswith("HTTP/1.1 421 "), f"our name shaken, another's asked: {foreign!r}"
    assert outside.ask(address, pair=ours, source="") == "", "not from Cloudflare's addresses"


def _believes_only_the_edge(platform: Platform, outside: Outside, address: str) -> None:
    """What a visitor or a stranger says of his address is not what limits are counted by."""
    _answers(platform)
    seen = subprocess.run(
        [
            *("curl", "-s", "-o", "/dev/null", "--cacert", str(platform.home.path / "ca.pem")),
            *("--resolve", f"{HOST}:{platform.port}:127.0.0.1"),
            *("-H", "CF-Connecting-IP: 6.6.6.6", "-H", "X-Forwarded-For: 6.6.6.6"),
            f"{platform.url}/health",
        ],
        timeout=30,
        check=True,
    )
    assert seen.returncode == 0
    outside.ask(address, header="CF-Connecting-IP: 6.6.6.7\\r\\n")
    outside.ask(address, source="", header="CF-Connecting-IP: 6.6.6.7\\r\\n")
    log = outside.gateway_log()
    clients = set(re.findall(r'"client":"([^"]+)"', log))
    assert "127.0.0.1" in clients, "the edge says who visits"
    assert not {"6.6.6.6", "6.6.6.7"} & clients, "nobody else does"


def test_behind_a_tunnel_nothing_is_open(platform: Platform) -> None:
    outside = Outside(platform)
    _answers(platform)
    address, _ = outside.droplet()
    assert outside.gateway_log(), "it is there, and whoever may log in can"
    assert outside.open_ports(address) == [[]], "visitors come through what dials out"


def test_reached_directly_only_the_edge_is_let_in(exposed: Platform) -> None:
    outside = Outside(exposed)
    _answers(exposed)
    own, reserved = outside.droplet()
    found = outside.open_ports(own, reserved)
    assert found == [[], []], "strangers find no port, 443 neither"
    _refuses_all_but_our_edge(outside, reserved)
    _believes_only_the_edge(exposed, outside, reserved)
    _stays_as_it_is(exposed)


def test_a_load_balancer_takes_the_place_of_the_address(exposed: Platform) -> None:
    said = exposed.make("up", "INGRESS=load-balancer")
    assert "Up in" in said
    outside = Outside(exposed)
    _answers(exposed)
    own, reserved = outside.droplet()
    assert reserved == "", "the name leads to the balancer now"
    balancer = outside.balancer()
    of_droplet, of_balancer = outside.open_ports(own, balancer)
    assert of_droplet == [], "droplets admit their load balancer only"
    assert of_balancer == [443], "it hangs up on strangers, but only after accepting them"
    assert outside.ask(own, pair=outside.ours()) == "", "not even our own edge goes around it"
    _refuses_all_but_our_edge(outside, balancer)
    _believes_only_the_edge(exposed, outside, balancer)
    _stays_as_it_is(exposed)
