"""What Access remembers: sessions, second factors, and values that are good for one use.

Times are the twin's. Sessions and authenticators outlast a restart, in the store; what belongs to a
login that is under way does not.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from uuid import uuid4

from twin.access import totp
from twin.access.rules import Person
from twin.clock import Clock
from twin.store import Store

LOGIN_SECONDS: Final = 4 * 3600.0
"""How long a login may take: the life of the `CF_Session` cookie."""
HANDOVER_SECONDS: Final = 60.0
MFA_ATTEMPTS: Final = 5
"""Wrong codes after which a login is over."""
_MOST_LOGINS: Final = 1000
_SESSIONS: Final = "access/session"
_USERS: Final = "access/user"
_AUTHENTICATORS: Final = "access/authenticator"
_FACTORS: Final = "access/factor"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A login at one application, or at the team (`aud` empty). `until` is when it is over."""

    nonce: str
    account: str
    aud: str
    policy: str
    email: str
    provider: str
    until: float
    groups: tuple[str, ...] = ()
    posture: tuple[str, ...] = ()
    binding: str = ""
    user: str = ""
    country: str = "XX"
    address: str = ""
    since: float = 0.0

    @property
    def person(self) -> Person:
        """Who it is."""
        return Person(
            email=self.email,
            provider=self.provider,
            groups=frozenset(self.groups),
            posture=frozenset(self.posture),
        )


@dataclass
class Login:
    """A login on its way: for which application, in which browser, how far."""

    aud: str
    back: str
    browser: str
    """What ties it to the browser at the application's host (`CF_AppSession`)."""
    host: str
    authority: str
    """The host with the port that the browser named."""
    team_browser: str = ""
    """What ties it to the browser at the team domain (`CF_Session`)."""
    provider: str = ""
    person: Person | None = None
    policy: str = ""
    wrong: int = 0
    new_key: str = ""


@dataclass
class Once:
    """Values that can be taken once, and only for a while."""

    clock: Clock
    seconds: float
    _kept: dict[str, tuple[Any, float]] = field(default_factory=dict)

    def put(self, value: Any) -> str:
        """Keep a value; returns what it is taken by."""
        now = self.clock.now()
        for name in [name for name, (_, until) in self._kept.items() if until <= now]:
            del self._kept[name]
        while len(self._kept) >= _MOST_LOGINS:
            del self._kept[next(iter(self._kept))]
        name = secrets.token_urlsafe(24)
        self._kept[name] = (value, now + self.seconds)
        return name

    def look(self, name: str) -> Any | None:
        """Return a value and keep it."""
        value, until = self._kept.get(name, (None, 0.0))
        return value if until > self.clock.now() else None

    def take(self, name: str) -> Any | None:
        """Return a value, for the last time."""
        value = self.look(name)
        self._kept.pop(name, None)
        return value


class Sessions:
    """Who is logged in where, and with which second factor."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._held: dict[str, Session] = {}

    def start(self, **given: Any) -> Session:
        """Begin a session."""
        now = self._clock.now()
        session = Session(nonce=secrets.token_urlsafe(12), since=now, **given)
        for nonce, kept in self._store.items(_SESSIONS).items():
            if kept["until"] <= now:
                self.end(nonce)
        self._store.save(_SESSIONS, session.nonce, asdict(session))
        self._held[session.nonce] = session
        return session

    def find(self, nonce: str) -> Session | None:
        """Return a session that is not over."""
        session = self._held.get(nonce)
        if session is None:
            kept = self._store.load(_SESSIONS, nonce)
            if kept is None:
                return None
            session = self._held[nonce] = _session(kept)
        return session if session.until > self._clock.now() else None

    def end(self, nonce: str) -> None:
        """End one; unknown is fine."""
        self._held.pop(nonce, None)
        self._store.drop(_SESSIONS, nonce)

    def end_all(self, email: str) -> None:
        """End every session of a person."""
        for nonce, kept in self._store.items(_SESSIONS).items():
            if kept["email"] == email:
                self.end(nonce)

    def user(self, account: str, email: str) -> str:
        """Return the id of a person in an account: the same for one e-mail address."""
        key = f"{account} {email.casefold()}"
        known = self._store.load(_USERS, key)
        if known is None:
            known = str(uuid4())
            self._store.save(_USERS, key, known)
        return str(known)

    # --- second factors ---------------------------------------------------------------------------
    def authenticator(self, email: str) -> Mapping[str, Any] | None:
        """Return a person's authenticator application, where one is enrolled."""
        found: Mapping[str, Any] | None = self._store.load(_AUTHENTICATORS, email.casefold())
        return found

    def enrol(self, email: str, key: str, code: str) -> bool:
        """Enrol an authenticator that can show its current code; one per person."""
        step = totp.matching(key, code, self._clock.now(), after=-1)
        if step is None or self.authenticator(email) is not None:
            return False
        kept = {"key": key, "last": step}
        self._store.save(_AUTHENTICATORS, email.casefold(), kept)
        return True

    def check(self, email: str, code: str) -> bool:
        """Say whether a code is right, and never take it again."""
        kept = self.authenticator(email)
        if kept is None:
            return False
        step = totp.matching(kept["key"], code, self._clock.now(), after=kept["last"])
        if step is None:
            return False
        self._store.save(_AUTHENTICATORS, email.casefold(), {**kept, "last": step})
        return True

    def forget_authenticator(self, email: str) -> None:
        """Delete a person's authenticator, as an administrator can."""
        self._store.drop(_AUTHENTICATORS, email.casefold())

    def passed(self, email: str, device: str) -> None:
        """Remember that a second factor was shown on a device."""
        self._store.save(_FACTORS, f"{device} {email.casefold()}", self._clock.now())

    def passed_within(self, email: str, device: str, seconds: float) -> bool:
        """Say whether that was lately enough."""
        at = self._store.load(_FACTORS, f"{device} {email.casefold()}") if device else None
        return at is not None and self._clock.now() - at < seconds


def _session(kept: Mapping[str, Any]) -> Session:
    lists = {name: tuple(kept[name]) for name in ("groups", "posture")}
    return Session(**{**kept, **lists})
