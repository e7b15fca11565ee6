"""The managed rules against the core ruleset's own regression tests, through the twin's edge.

go-ftw (`runner/`, a Go module of ours that names go-ftw and the tests as dependencies) sends each
request to an edge on which the OWASP ruleset is deployed, and reads from a log which rules matched.
Twice: at paranoia level 1 the tests of its rules, at level 4 all of them. Tests of rules that look
at responses are left out, because the phase sees requests only.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from aiohttp import web

from tests.twin.edge import harness
from tools import firewall, process
from tools.console import Ui
from tools.engine import golang
from tools.paths import cache_folder
from twin.edge.routes import RECORD
from twin.waf.engine import Asked, Engine
from twin.waf.rulesets import LEVELS, OWASP, PHASE, RULESET, SCORING_RULE
from twin.waf.verdict import Verdict

HERE: Final = Path(__file__).parent
RUNNER: Final = HERE / "runner"
OVERRIDES: Final = HERE / "overrides.yaml"
PROMISED: Final = 99.0
MARKER: Final = b"x-crs-test"
_RUN_SECONDS: Final = 1200.0
_ZONES: Final = ("localhost", "127.0.0.1", "com", "example", "io")
"""Zones of the edge, so that the tests' own host names are served."""
_SETUP: Final[Mapping[str, str]] = {
    "crs_validate_utf8_encoding": "1",
    "arg_name_length": "100",
    "arg_length": "400",
    "total_arg_length": "64000",
    "max_num_args": "255",
    "max_file_size": "64100",
    "combined_file_sizes": "65535",
}
"""What the tests expect to be set (coreruleset, tests/regression/README.md and the setup that the
project's own runs use)."""
_WARM_UP, _SAMPLES = 100, 500
_PAGE: Final = Asked(
    client="203.0.113.7",
    method="GET",
    target=b"/dashboard?page=2",
    protocol="HTTP/1.1",
    headers=(
        (b"Host", b"pay.example.com"),
        (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0.0.0"),
        (b"Accept", b"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"),
        (b"Accept-Language", b"en-GB,en;q=0.9"),
        (b"Cookie", b"session=0123456789abcdef0123456789abcdef"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What go-ftw found at one level."""

    level: int
    found: dict[str, Any]

    @property
    def rate(self) -> float:
        """Passed of those that were run, in per cent."""
        return round(100 * self.found["passed"] / self.found["run"], 2)

    @property
    def unchanged(self) -> float:
        """The same with every overridden test counted as failed."""
        failed = {each["test"] for each in self.found["failed"]} | set(self.found["overridden"])
        return round(100 * (1 - len(failed) / self.found["run"]), 2)


def measure(ui: Ui) -> dict[str, Any]:
    """Pass rates at levels 1 and 4, what failed, and how long an inspection takes."""
    with ui.phase("Engine") as phase:
        program = firewall.ensure(phase.note).program
        phase.done("the core ruleset")
    with ui.phase("go-ftw") as phase:
        tester = build_tests(phase.note)
        phase.done("built from Go modules")
    runs = []
    for level in (1, 4):
        with ui.phase(f"Level {level}") as phase:
            run = Run(level=level, found=asyncio.run(through_the_edge(program, tester, level)))
            runs.append(run)
            phase.done(f"{run.found['passed']} of {run.found['run']} tests passed, {run.rate} %")
    for name, why in runs[-1].found["overridden"].items():
        ui.say(f"expected otherwise here: {name}: {why}")
    figures: dict[str, Any] = {}
    for run in runs:
        prefix = f"level_{run.level}"
        figures |= {
            f"{prefix}_tests": run.found["run"],
            f"{prefix}_passed_percent": run.rate,
            f"{prefix}_passed_percent_promised": PROMISED,
            f"{prefix}_passed_without_overrides_percent": run.unchanged,
            f"{prefix}_failed": [each["test"] for each in run.found["failed"]],
            f"{prefix}_seconds": round(run.found["seconds"], 1),
        }
    figures["overridden"] = runs[-1].found["overridden"]
    return figures | asyncio.run(_inspections(program))


def build_tests(note: Any) -> Path:
    """Build go-ftw with the tests, into a folder of the cache."""
    cache = cache_folder()
    program = cache / "waf" / f"tests-{firewall.recipe(RUNNER)}" / "waf-tests"
    if not program.exists():
        toolchain = golang.find(cache, note)
        environment = golang.environment(toolchain, cache / "go-work")
        firewall.compile_module(toolchain, RUNNER, program, environment, note)
    return program


async def through_the_edge(program: Path, tester: Path, level: int) -> dict[str, Any]:
    """Run the tests of rules up to a level; returns what the runner prints."""
    zones = [{"id": name, "name": name, "plan": "pro"} for name in _ZONES]
    with tempfile.TemporaryDirectory(prefix="pp-waf-") as folder:
        log, home = Path(folder) / "matched.log", Path(folder) / "home"
        async with harness.running(home, firewall=program, zones=zones) as site:
            port = await site.origin(_answer)
            _deploy(site, port, level)
            engine = site.edge.waf
            assert engine is not None  # noqa: S101  (the edge was given its program)
            engine.variables = dict(_SETUP)
            with log.open("ab", buffering=0) as stream:
                engine.observers.append(lambda asked, verdict: _tell(stream, asked, verdict))
                await site.connector()
                done = await asyncio.to_thread(
                    process.run,
                    [tester, "-port", str(site.edge.port), "-log", log, "-level", str(level),
                     "-overrides", OVERRIDES],
                    env={**os.environ, "SSL_CERT_FILE": str(home / "ca.pem")},
                    timeout=_RUN_SECONDS,
                    what="go-ftw",
                )  # fmt: skip
    found: dict[str, Any] = json.loads(done.out.splitlines()[-1])
    return found


async def _answer(request: web.BaseRequest) -> web.StreamResponse:
    await request.read()
    return web.Response(text="Hello")


def _deploy(site: harness.Site, port: int, level: int) -> None:
    """Serve every zone's hosts, and execute the OWASP ruleset up to a level; it only logs."""
    service = {"service": f"http://127.0.0.1:{port}"}
    harness.deploy(site.store, [service])
    target = {"type": "CNAME", "proxied": True, "content": f"{harness.TUNNEL_ID}.cfargotunnel.com"}
    for zone in _ZONES:
        for name in (zone, f"*.{zone}"):
            site.store.put(RECORD, name, {}, {**target, "zoneId": zone, "name": name})
        overrides = {
            "categories": [
                {"category": f"paranoia-level-{each}", "enabled": False}
                for each in LEVELS
                if each > level
            ],
            "rules": [{"id": SCORING_RULE, "action": "log", "scoreThreshold": 25}],
        }
        rule = {
            "ref": "owasp",
            "action": "execute",
            "expression": "true",
            "actionParameters": {"id": OWASP, "overrides": overrides},
        }
        deployed = {"zoneId": zone, "kind": "zone", "phase": PHASE, "rules": [rule]}
        site.store.put(RULESET, f"managed-{zone}", {}, deployed)


def _tell(stream: BinaryIO, asked: Asked, verdict: Verdict) -> None:
    """Write what go-ftw looks for: its own markers, and the ids of matched rules."""
    for name, value in asked.headers:
        if name.lower() == MARKER:
            stream.write(MARKER + b" " + value + b"\n")
    for match in verdict.matches:
        line = f'[id "{match.id}"] [msg "{match.message}"] found within {match.variable}:\n'
        stream.write(line.encode())


async def _inspections(program: Path) -> dict[str, Any]:
    """How long the engine and the way to it take for a page at paranoia level 1, one by one."""
    engine = Engine(program)
    await engine.start()
    try:
        whole, rules = [], []
        for number in range(_WARM_UP + _SAMPLES):
            started = time.perf_counter()
            verdict = await engine.inspect(_PAGE)
            if number >= _WARM_UP:
                whole.append((time.perf_counter() - started) * 1000)
                rules.append(verdict.microseconds / 1000)
        status = Path(f"/proc/{engine.pid}/status").read_text()
    finally:
        await engine.stop()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return {
        "inspection_ms_p50": round(statistics.median(whole), 2),
        "inspection_ms_p50_promised": 1,
        "rules_ms_p50": round(statistics.median(rules), 2),
        "inspection_load_average": round(os.getloadavg()[0], 1),
        "engine_resident_mb": round(int(resident.split()[1]) * 1024 / 1e6),
        "engine_resident_mb_promised": 250,
    }
