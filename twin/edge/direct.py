"""The edge's way to an origin that has an address: from the point of presence, in the zone's mode.

The connection is made by the relay of the twin's internet, from an address inside Cloudflare's
published ranges; which origin is meant is said to it in a PROXY header. Then TLS begins here, with
the host as server name, and the zone's settings decide the rest (developers.cloudflare.com):

- `ssl`: `strict` verifies the certificate against the Origin CA and the public authorities (here:
  the twin's own), `full` takes any, `flexible` and `off` speak plain HTTP to port 80.
- a certificate of the Origin CA that was deleted is revoked, and `strict` takes it no longer.
- Authenticated Origin Pulls: the edge shows the certificate of the zone that was deployed last,
  none while the only ones are on their way, and the one that all customers share where the zone
  has none.

Port 443 always: the real edge connects on the port that the visitor used, and in the twin that is
the laptop's.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from twin import authorities
from twin.clock import Clock
from twin.kept import in_force
from twin.machines.addresses import EDGE_ADDRESS
from twin.store import Store

CLIENT_CERTIFICATE: Final = (
    "cloudflare:index/authenticatedOriginPullsCertificate:AuthenticatedOriginPullsCertificate"
)
ZONE_SETTING: Final = "cloudflare:index/zoneSetting:ZoneSetting"
PULLS: Final = "cloudflare/origin-pulls"
DEFAULT_MODE: Final = "full"
"""A new zone's."""
CONNECT_SECONDS: Final = 15.0
"""As long as the relay tries to connect."""
_HANDSHAKE_SECONDS: Final = 20.0
_RELAY: Final = "origins.sock"


class OriginUnreachable(ConnectionError):
    """An origin could not be talked to; `code` is the edge's (521, 522, 523, 525, 526)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an origin is: an IPv4 address, behind a host of a zone."""

    zone: str
    host: str
    address: str


class Direct:
    """Opens connections to origins by address. `public` is the PEM of the public authorities."""

    def __init__(self, store: Store, run_dir: Path, public: str, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._relay = run_dir / _RELAY
        self._public = public
        self._contexts: dict[str, ssl.SSLContext | None] = {}
        self._generation = -1
        self._until = math.inf
        """When the next client certificate is deployed: what was made before holds until then."""

    async def open(self, target: Address, protocol: asyncio.Protocol) -> None:
        """Join `protocol` to an origin; raises OriginUnreachable."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        context = self._context(target.zone)
        plain = await self._connect(target, 80 if context is None else 443)
        if context is None:
            plain.set_protocol(protocol)
            protocol.connection_made(plain)
            return
        try:
            encrypted = await loop.start_tls(
                plain,
                protocol,
                context,
                server_hostname=target.host,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS,
            )
        except ssl.SSLCertVerificationError as error:
            raise OriginUnreachable(526, error.verify_message) from error
        except ssl.SSLError as error:
            raise OriginUnreachable(525, str(error)) from error
        except OSError as error:
            # The relay hangs up when it could not connect: at once where the port is closed.
            silent = loop.time() - started >= CONNECT_SECONDS - 1
            code, why = (522, "no answer") if silent else (521, "connection refused")
            raise OriginUnreachable(code, f"{target.address}: {why}") from error
        assert encrypted is not None  # noqa: S101  (None only when the loop is closing)
        shown = encrypted.get_extra_info("peercert")  # empty where nothing is verified
        if shown and authorities.is_revoked(self._store, int(shown["serialNumber"], 16)):
            encrypted.close()
            raise OriginUnreachable(526, "the origin's certificate was revoked")
        protocol.connection_made(encrypted)

    async def _connect(self, target: Address, port: int) -> asyncio.Transport:
        if ip_address(target.address).version != 4:
            raise OriginUnreachable(523, f"{target.address}: the twin's internet is IPv4")
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_unix_connection(_Unread, str(self._relay))
        except OSError as error:
            raise OriginUnreachable(523, f"the relay does not answer: {error}") from error
        header = f"PROXY TCP4 {EDGE_ADDRESS} {target.address} 40000 {port}\r\n"
        transport.write(header.encode())
        return transport

    # --- what the zone wants --------------------------------------------------------------------
    def mode(self, zone: str) -> str:
        """Return the zone's `ssl` setting."""
        return str(self._setting(zone, "ssl") or DEFAULT_MODE)

    def _setting(self, zone: str, name: str) -> object:
        for outputs in in_force(self._store, ZONE_SETTING):
            if (outputs.get("zoneId"), outputs.get("settingId")) == (zone, name):
                return outputs.get("value")
        return None

    def client(self, zone: str) -> authorities.Pair | None:
        """Return the certificate that the edge shows to the zone's origins; None for none."""
        switched = self._setting(zone, "tls_client_auth") == "on"
        if not (switched or self._store.load(PULLS, zone)):
            return None
        own = [record.outputs for record in self._store.find(CLIENT_CERTIFICATE, zoneId=zone)]
        if not own:
            return authorities.shared_client(self._store)
        now = self._clock.now()
        due = {authorities.deployed_at(outputs): outputs for outputs in own}
        self._until = min([self._until, *(moment for moment in due if moment > now)])
        if min(due) > now:
            return None
        latest = due[max(moment for moment in due if moment <= now)]
        return authorities.Pair(
            certificate=latest["certificate"], key=latest["privateKey"], authority=""
        )

    def _context(self, zone: str) -> ssl.SSLContext | None:
        """The TLS of a zone's origins, made anew when a resource changed; None for plain HTTP."""
        if self._generation != self._store.generation or self._clock.now() >= self._until:
            self._generation, self._until = self._store.generation, math.inf
            self._contexts.clear()
        if zone not in self._contexts:
            self._contexts[zone] = self._make(zone)
        return self._contexts[zone]

    def _make(self, zone: str) -> ssl.SSLContext | None:
        mode = self.mode(zone)
        if mode in ("off", "flexible"):
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        if mode in ("strict", "origin_pull"):
            trusted = authorities.origin_ca(self._store).certificate
            context.load_verify_locations(cadata=trusted + self._public)
        else:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        pair = self.client(zone)
        if pair is not None:
            with tempfile.TemporaryDirectory() as folder:
                chain = Path(folder) / "client.pem"
                chain.touch(mode=0o600)
                chain.write_text(pair.certificate + pair.key)
                context.load_cert_chain(chain)
        return context


class _Unread(asyncio.Protocol):
    """Nothing is read before the origin's own protocol takes over."""
