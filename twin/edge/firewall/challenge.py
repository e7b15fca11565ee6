"""Challenges: a page that a browser passes by itself or with one click, and a script does not.

As on the real edge the page comes with status 403 and `cf-mitigated: challenge`, whatever was asked
for; its script works on a puzzle and posts the answer below `/cdn-cgi/challenge-platform/`; a right
one earns a `cf_clearance` cookie for the zone, good for its Challenge Passage (`challenge_ttl`) and
only with the address and the user agent that solved it. The page then asks for the same address
again; a POST's body is not kept, so that a form has to be sent once more.

An answer is taken once, within CHALLENGE_SECONDS, from the visitor that was asked. Clearances have
levels (developers.cloudflare.com/cloudflare-challenges/concepts/clearance): a higher one also
counts where a lower is asked for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twin.clock import Clock
from twin.edge.exchange import Exchange
from twin.edge.visitors import automated
from twin.store import Store

CHALLENGE_SECONDS: Final = 300
"""How long a puzzle may be worked on."""
PASSAGE: Final = 1800
"""Seconds that a clearance lasts where `challenge_ttl` was not set (Challenge Passage)."""
PUZZLE_BITS: Final = 12
"""Leading zero bits of the answer's hash: some 4,000 tries, half a second in a browser."""
COOKIE: Final = "cf_clearance"
LEVELS: Final = {"js_challenge": 1, "managed_challenge": 2, "challenge": 3}
SOLVED: Final = {
    ("js_challenge", False): "jschallenge_solved",
    ("managed_challenge", False): "managed_challenge_non_interactive_solved",
    ("managed_challenge", True): "managed_challenge_interactive_solved",
    ("challenge", True): "challenge_solved",
}
"""What the events of the real edge call a passed challenge, by action and whether it asked."""
_MOST_OPEN: Final = 20_000
_SECRET: Final = ("edge", "clearance-secret")


@dataclass(frozen=True, kw_only=True)
class Puzzle:
    """One challenge that was put to one visitor; `passed` is called when it is solved."""

    nonce: str
    action: str
    interactive: bool
    zone: str
    visitor: str
    agent: str
    rule: str
    description: str
    phase: str
    until: float
    passed: Callable[[], None] | None


class Refused(Exception):
    """An answer that is not taken; the text says why."""


class Challenges:
    """The puzzles that are open, and the clearances that were earned."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._open: OrderedDict[str, Puzzle] = OrderedDict()
        secret = store.load(*_SECRET)
        if not isinstance(secret, str):
            secret = secrets.token_hex(32)
            store.save(*_SECRET, secret)
        self._secret = bytes.fromhex(secret)

    def put(
        self,
        exchange: Exchange,
        action: str,
        *,
        phase: str,
        rule: str,
        description: str,
        passed: Callable[[], None] | None = None,
    ) -> Puzzle:
        """Make a puzzle for a visitor."""
        agent = exchange.request.headers.get("User-Agent", "")
        # A managed challenge asks for a click where the visitor looks like a program.
        interactive = action == "challenge" or (action == "managed_challenge" and automated(agent))
        puzzle = Puzzle(
            nonce=secrets.token_urlsafe(18),
            action=action,
            interactive=interactive,
            zone=exchange.zone.id,
            visitor=exchange.visitor,
            agent=agent,
            rule=rule,
            description=description,
            phase=phase,
            until=self._clock.now() + CHALLENGE_SECONDS,
            passed=passed,
        )
        if len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)
        self._open[puzzle.nonce] = puzzle
        return puzzle

    def solve(self, exchange: Exchange, nonce: str, answer: str, *, pressed: bool) -> Puzzle:
        """Take an answer; raises Refused. The puzzle is used up by any answer, right or wrong."""
        puzzle = self._open.pop(nonce, None)
        if puzzle is None:
            raise Refused("this challenge is unknown, used or too old")
        if puzzle.until < self._clock.now():
            raise Refused("this challenge is too old")
        agent = exchange.request.headers.get("User-Agent", "")
        asked = (puzzle.zone, puzzle.visitor, puzzle.agent)
        if asked != (exchange.zone.id, exchange.visitor, agent):
            raise Refused("this challenge was put to somebody else")
        if not is_solution(nonce, answer):
            raise Refused("the answer is wrong")
        if puzzle.interactive and not pressed:
            raise Refused("this challenge asks for a person")
        if puzzle.passed is not None:
            puzzle.passed()
        return puzzle

    # --- clearances -----------------------------------------------------------------------------
    def clearance(self, exchange: Exchange, action: str, seconds: int) -> str:
        """Return the cookie's value for a visitor that passed."""
        until = int(self._clock.now() + seconds)
        content = json.dumps([exchange.zone.id, LEVELS[action], until]).encode()
        packed = base64.urlsafe_b64encode(content).decode().rstrip("=")
        return f"{packed}.{self._signature(exchange, packed)}"

    def cleared(self, exchange: Exchange, action: str) -> bool:
        """True where the visitor carries a clearance that is good enough, and still good."""
        for value in _cookies(exchange):
            packed, _, signature = value.partition(".")
            expected = self._signature(exchange, packed)
            if not hmac.compare_digest(_bytes(signature), expected.encode()):
                continue
            padded = packed + "=" * (-len(packed) % 4)
            zone, level, until = json.loads(base64.urlsafe_b64decode(padded))
            if zone == exchange.zone.id and level >= LEVELS[action] and until > self._clock.now():
                return True
        return False

    def _signature(self, exchange: Exchange, packed: str) -> str:
        bound = [packed, exchange.visitor, exchange.request.headers.get("User-Agent", "")]
        text = json.dumps(bound).encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    """Return what was sent: bytes that are no UTF-8 are kept as surrogates in a header's text."""
    return text.encode("utf-8", "surrogateescape")


def is_solution(nonce: str, answer: str) -> bool:
    """True when the hash of nonce and answer begins with PUZZLE_BITS zero bits."""
    if not answer.isascii() or not answer.isdigit() or len(answer) > 12:
        return False
    digest = hashlib.sha256(f"{nonce}:{answer}".encode()).digest()
    return int.from_bytes(digest[:4]) >> (32 - PUZZLE_BITS) == 0


def _cookies(exchange: Exchange) -> list[str]:
    found = []
    for line in exchange.request.headers.getall("Cookie", ()):
        for part in line.split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                found.append(value)
    return found
