"""The keys that Access signs with: one at a time, replaced after an interval, published as JWKS.

A key that was replaced stays valid for seven days (cloudflare-docs, validating-json). Keys lie in
the twin's store, which only its owner can read. Times are the twin's.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from twin.clock import Clock
from twin.clouds.cloudflare.access import KEY_INTERVALS
from twin.store import Store

DAY: Final = 86400.0
OVERLAP: Final = 7 * DAY
DEFAULT_INTERVAL_DAYS: Final = 42.0
BITS: Final = 2048
_KEPT: Final = "access/keys"
_LONGEST_TOKEN: Final = 8192


@dataclass(frozen=True, kw_only=True)
class Key:
    """One key; `made` is when it began to sign."""

    id: str
    private: rsa.RSAPrivateKey
    made: float


class Keys:
    """The key rings of all accounts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rings: dict[str, list[Key]] = {}

    def sign(self, account: str, claims: Mapping[str, Any]) -> str:
        """Return claims as a token signed by the current key (RFC 7515, RS256)."""
        key = self.current(account)
        header = _encode({"alg": "RS256", "kid": key.id, "typ": "JWT"})
        signed = f"{header}.{_encode(claims)}"
        signature = key.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"

    def verified(self, account: str, token: str) -> dict[str, Any] | None:
        """Return a token's claims; None unless a key that is valid now has signed it.

        The claims themselves are the caller's to check.
        """
        if len(token) > _LONGEST_TOKEN or token.count(".") != 2:
            return None
        signed, _, signature = token.rpartition(".")
        try:
            header, claims = (_decode(part) for part in signed.split("."))
            raw = _raw(signature)
        except ValueError:
            return None
        if header.get("alg") != "RS256":
            return None
        key = next((k for k in self.valid(account) if k.id == header.get("kid")), None)
        if key is None:
            return None
        try:
            key.private.public_key().verify(
                raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return None
        return claims

    def current(self, account: str) -> Key:
        """Return the key that signs now; a new one where the last has served its interval."""
        ring = self._ring(account)
        days = self._store.load(KEY_INTERVALS, account) or DEFAULT_INTERVAL_DAYS
        now = self._clock.now()
        if not ring or now - ring[-1].made >= float(days) * DAY:
            ring.append(_new_key(now))
            self._rings[account] = ring[-8:]
            self._store.save(_KEPT, account, [_kept(key) for key in self._rings[account]])
        return self._rings[account][-1]

    def valid(self, account: str) -> list[Key]:
        """Return the keys whose signatures count now, the current one first."""
        current = self.current(account)
        ring = self._ring(account)
        now = self._clock.now()
        older = [
            key for key, successor in itertools.pairwise(ring) if now - successor.made < OVERLAP
        ]
        return [current, *reversed(older)]

    def published(self, account: str) -> dict[str, Any]:
        """Return what `/cdn-cgi/access/certs` answers."""
        keys = self.valid(account)
        certificates = [{"kid": key.id, "cert": _certificate(key)} for key in keys]
        return {
            "keys": [_jwk(key) for key in keys],
            "public_cert": certificates[0],
            "public_certs": certificates,
        }

    def _ring(self, account: str) -> list[Key]:
        if account not in self._rings:
            kept = self._store.load(_KEPT, account) or []
            self._rings[account] = [_loaded(entry) for entry in kept]
        return self._rings[account]


def _new_key(now: float) -> Key:
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    return Key(id=digest.finalize().hex(), private=private, made=now)


def _kept(key: Key) -> dict[str, Any]:
    pem = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {"id": key.id, "private": pem.decode(), "made": key.made}


def _loaded(entry: Mapping[str, Any]) -> Key:
    private = serialization.load_pem_private_key(entry["private"].encode(), password=None)
    assert isinstance(private, rsa.RSAPrivateKey)  # noqa: S101  (written above)
    return Key(id=entry["id"], private=private, made=entry["made"])


def _jwk(key: Key) -> dict[str, str]:
    numbers = key.private.public_key().public_numbers()
    return {
        "kid": key.id,
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "e": _base64(numbers.e.to_bytes(3, "big")),
        "n": _base64(numbers.n.to_bytes(BITS // 8, "big")),
    }


def _certificate(key: Key) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloudflareaccess.com")])
    since = datetime.fromtimestamp(key.made, UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.private.public_key())
        .serial_number(int(key.id[:30], 16))
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=365))
        .sign(key.private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _encode(value: Mapping[str, Any]) -> str:
    return _base64(json.dumps(value, separators=(",", ":")).encode())


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _decode(text: str) -> dict[str, Any]:
    found = json.loads(_raw(text))
    if not isinstance(found, dict):
        raise ValueError("no object")
    return found
