"""An Access team: signs assertions, publishes its keys, and can be away."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

DOMAIN = "acme.cloudflareaccess.com"
ISSUER = f"https://{DOMAIN}"
PAGES_AUDIENCE, API_AUDIENCE = "a" * 64, "b" * 64
ADA, BO, CY = "ada@example.com", "bo@example.com", "cy@example.com"
DEE = "dee@example.com"
TOKEN, WRITER, TELLER = "c1d2e3f4.access", "d2e3f4a5.access", "e3f4a5b6.access"
"""Programs: one that reads, one that writes, one that may refund, too."""
OFFICE = "198.51.100.7"

SETTINGS = {
    "team_domain": DOMAIN,
    "audiences": f"{PAGES_AUDIENCE},{API_AUDIENCE}",
    "admins": f"{ADA},{BO},{CY},{DEE}",
    "admin_cidrs": "198.51.100.0/24",
    "service_tokens": f"{TOKEN},{WRITER}=write,{TELLER}=write+money",
}


class Team:
    """The team's keys, the newest last, and its site."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.published: list[str] = []
        self.fetched = 0
        self.away = False
        self.url = ""
        self.clock: Callable[[], float] = time.time
        self.rotate("first")

    def rotate(self, key_id: str) -> None:
        """Sign with a new key from now on; the last one stays published."""
        self.keys[key_id] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.published = [*self.published[-1:], key_id]

    def document(self) -> dict[str, Any]:
        entries = []
        for key_id in self.published:
            entry = jwt.algorithms.RSAAlgorithm.to_jwk(self.keys[key_id].public_key(), as_dict=True)
            entries.append({**entry, "kid": key_id, "alg": "RS256", "use": "sig"})
        return {"keys": entries, "public_cert": {}, "public_certs": []}

    def claims(self, **changed: Any) -> dict[str, Any]:
        now = int(self.clock())
        claims = {
            "aud": [PAGES_AUDIENCE],
            "email": ADA,
            "exp": now + 3600,
            "iat": now,
            "nbf": now,
            "iss": ISSUER,
            "type": "app",
            "identity_nonce": "n0nce",
            "sub": f"sub-of-{changed.get('email', ADA)}",
            "country": "DE",
        } | changed
        return {name: value for name, value in claims.items() if value is not None}

    def assertion(self, *, key_id: str | None = None, **changed: Any) -> str:
        """Sign an assertion with the newest key, or with the one that is named."""
        chosen = key_id or list(self.keys)[-1]
        return jwt.encode(
            self.claims(**changed), self.keys[chosen], algorithm="RS256", headers={"kid": chosen}
        )

    def program(self, **changed: Any) -> str:
        """Sign what a service token gets."""
        told = {"aud": [API_AUDIENCE], "email": None, "sub": "", "common_name": TOKEN} | changed
        return self.assertion(**told)


@contextmanager
def team_site() -> Iterator[Team]:
    """Give a team whose site answers on this machine."""
    team = Team()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            team.fetched += 1
            body = json.dumps(team.document()).encode()
            self.send_response(503 if team.away else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    team.url = f"http://127.0.0.1:{server.server_port}/cdn-cgi/access/certs"
    try:
        yield team
    finally:
        server.shutdown()
        server.server_close()
