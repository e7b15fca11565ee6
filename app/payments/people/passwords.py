"""Passwords: which ones are taken, and how they are kept.

Argon2id with 19 MiB, two passes and one lane: the first configuration of the OWASP Password
Storage Cheat Sheet (2023 and later). More memory would be affordable for one log-in but not for
several at once within a replica's 150 MB, so a limiter lets `PARALLEL_HASHES` run and the rest
wait: a burst of log-ins costs time, never the process.

The rules follow NIST SP 800-63B section 3.1.1: a minimum length, a generous maximum, a list of
known bad choices, and no demands on character classes.
"""

from __future__ import annotations

import unicodedata
from functools import cache
from importlib.resources import files
from itertools import pairwise

import anyio
import anyio.to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

MIN_LENGTH = 12
MAX_LENGTH = 128
"""Characters after NFKC. The upper bound keeps hashing from becoming a way to burn CPU."""

PARALLEL_HASHES = 2

DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1$nAtHKM71X6IoZYzxl//x/g"
    "$9K2ejUtztvF/qiAdKpgBP0mTrcPXRbuDBVB5DZIQTsA"
)
"""The hash of 30 random bytes that nobody kept: what an unknown account is checked against."""

_hasher = PasswordHasher(
    time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)


def normalise(password: str) -> str:
    """Return the password in NFKC, so that one person's keyboards agree on its bytes."""
    return unicodedata.normalize("NFKC", password)


def complaint(password: str, email: str) -> str | None:
    """Return why this password is refused for this e-mail address, as a sentence, or None."""
    text = normalise(password)
    if len(text) < MIN_LENGTH:
        return f"Use at least {MIN_LENGTH} characters. A few words in a row work well."
    if len(text) > MAX_LENGTH:
        return f"Use at most {MAX_LENGTH} characters."
    plain = text.casefold().strip()
    local = email.casefold().partition("@")[0]
    if plain == email.casefold() or plain.strip("0123456789!?.-_ ") == local:
        return "Do not use your e-mail address as the password."
    if len(set(plain)) < 5 or _is_run(plain) or plain in _common():
        return "This password is one of the first that are tried. Choose another."
    return None


async def hash_password(password: str) -> str:
    """Return the PHC string of a password; takes about 30 ms of one core and 19 MiB."""
    text = normalise(password)
    return await anyio.to_thread.run_sync(_hasher.hash, text, limiter=_limiter())


async def matches(stored: str | None, password: str) -> bool:
    """Say whether the password fits the stored hash; without one, take as long and say no.

    An unknown e-mail address therefore costs the same time as a wrong password.
    """
    # The length is bounded before hashing; the form's check is not the only way in.
    text = normalise(password[: 4 * MAX_LENGTH])[: MAX_LENGTH + 1]
    fits = await anyio.to_thread.run_sync(_verify, stored or DECOY, text, limiter=_limiter())
    return fits and stored is not None


def outdated(stored: str) -> bool:
    """Say whether a hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _verify(phc: str, text: str) -> bool:
    try:
        return _hasher.verify(phc, text)
    except (VerificationError, InvalidHashError):
        return False


def _is_run(text: str) -> bool:
    """Say whether all steps between neighbours are the same: `123456789012`, `abcdefghijkl`."""
    steps = {ord(b) - ord(a) for a, b in pairwise(text)}
    return len(steps - {-9, 9}) <= 1  # 9 → 0 and 0 → 9 continue a run of digits


@cache
def _common() -> frozenset[str]:
    text = (files("payments.people") / "common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


@cache
def _limiter() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(PARALLEL_HASHES)
