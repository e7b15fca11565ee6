"""The step of the edge's pipeline that inspects requests by the deployed managed rulesets.

Order, exceptions and overrides are the deployed phase's; a request for which no ruleset is executed
is not shown to the engine. The body is read as far as rules look into it (`twin.edge.body`) and
goes to the origin whole. Should the engine have no answer, the request is refused with an error
page: what was not inspected does not pass, and the journal says why.
"""

from __future__ import annotations

import logging
from typing import Final, Protocol

from twin.edge import pages
from twin.edge.body import look
from twin.edge.exchange import Exchange, Next, Reply, Result
from twin.edge.fields import FieldSource
from twin.edge.firewall import interstitial
from twin.edge.firewall.challenge import LEVELS, Challenges
from twin.edge.journal import Journal
from twin.edge.logs import note
from twin.waf.decide import Decision, decide
from twin.waf.engine import Asked
from twin.waf.line import EngineDown
from twin.waf.rulesets import CLOUDFLARE, FREE, OWASP, PHASE, Deployed, Step
from twin.waf.verdict import Verdict

LOG: Final = "log"
UNAVAILABLE: Final = 500

REFUSED: Final = 403


class Inspects(Protocol):
    """What judges requests: `twin.waf.engine.Engine`."""

    async def inspect(self, asked: Asked) -> Verdict:
        """Return the rules that match. Raises EngineDown."""


class ManagedRules:
    """The stage. Without an engine nothing is inspected, and the log says so once."""

    def __init__(
        self,
        deployed: Deployed,
        fields: FieldSource,
        journal: Journal,
        engine: Inspects | None,
        challenges: Challenges,
    ) -> None:
        self._deployed = deployed
        self._fields = fields
        self._journal = journal
        self._engine = engine
        self._challenges = challenges
        self._told = False

    async def __call__(self, exchange: Exchange, following: Next) -> Result:
        """Inspect a request, and do what the first ruleset says that objects."""
        phase = self._deployed.phase(exchange.zone.id)
        if phase is None or f"phase:{PHASE}" in exchange.skips:
            return await following(exchange)
        if self._engine is None:
            self._tell()
            return await following(exchange)
        if phase.needs_body:
            await look(exchange)
        verdict: Verdict | None = None
        skipped = set(exchange.skips)
        for step in phase.steps:
            if not step.condition(self._fields.of(exchange)):
                continue
            if step.skips:
                skipped |= step.skips
                self._record_skip(exchange, step)
                if "rest" in step.skips:
                    break
                continue
            if f"ruleset:{step.executes}" in skipped:
                continue
            if verdict is None:
                try:
                    verdict = await self._engine.inspect(await _asked(exchange, phase.steps))
                except EngineDown as error:
                    return self._unavailable(exchange, step, error)
            decision = decide(step, verdict, skipped)
            if decision is None:
                continue
            reply = self._carry_out(exchange, decision)
            if reply is not None:
                return reply
        return await following(exchange)

    def _carry_out(self, exchange: Exchange, decision: Decision) -> Reply | None:
        """Do what a ruleset decided; None lets the request go on to the next one."""
        challenged = decision.action in LEVELS
        if challenged and self._challenges.cleared(exchange, decision.action):
            return None
        self._record(exchange, decision)
        if decision.action == LOG:
            return None
        if not challenged:
            return pages.error(REFUSED, host=exchange.host, ray=exchange.ray)
        puzzle = self._challenges.put(
            exchange,
            decision.action,
            phase=PHASE,
            rule=decision.rule,
            description=decision.description,
        )
        return interstitial.page(exchange, puzzle)

    def _record(self, exchange: Exchange, decision: Decision) -> None:
        self._journal.record(
            exchange,
            phase=PHASE,
            action=decision.action,
            rule=decision.rule,
            description=decision.description,
            detail=decision.detail,
        )

    def _record_skip(self, exchange: Exchange, step: Step) -> None:
        if step.logged:
            self._journal.record(
                exchange,
                phase=PHASE,
                action="skip",
                rule=step.ref,
                description=step.description,
                detail=", ".join(sorted(step.skips)),
            )

    def _unavailable(self, exchange: Exchange, step: Step, error: EngineDown) -> Result:
        note(logging.ERROR, "request not inspected", reason=error, ray=exchange.ray)
        self._journal.record(
            exchange,
            phase=PHASE,
            action="block",
            rule=step.ref,
            description="the request could not be inspected",
            detail=str(error),
        )
        return pages.error(UNAVAILABLE, host=exchange.host, ray=exchange.ray)

    def _tell(self) -> None:
        if not self._told:
            self._told = True
            note(
                logging.WARNING,
                "managed rulesets are not enforced",
                reason="the twin was started without their engine (make up builds it)",
            )


async def _asked(exchange: Exchange, steps: tuple[Step, ...]) -> Asked:
    """What the engine is shown: the request as it came, before the edge adds its own headers."""
    request = exchange.request
    levels = {level for step in steps if step.executes == OWASP for level in step.levels}
    if any(step.executes in (CLOUDFLARE, FREE) for step in steps):
        levels.add(1)  # these have no levels of their own, and cost little
    return Asked(
        client=exchange.visitor,
        method=request.method,
        target=exchange.target.encode("utf-8", "surrogateescape"),
        protocol=f"HTTP/{request.version.major}.{request.version.minor}",
        headers=request.raw_headers,
        body=await look(exchange),
        variables={"blocking_paranoia_level": str(max(levels, default=1))},
    )
