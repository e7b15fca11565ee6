"""Programs come with a service token: strictly, with rotation, and never as somebody."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.twin.access.team import ADA, Team, deployed, run, verified

ASSERTION = "Cf-Access-Jwt-Assertion"


async def _status(team: Team, path: str = "/api/admin", **headers: str) -> int:
    return (await team.get(path, **headers)).status


def test_a_service_token_opens_its_application_and_no_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            answer = await team.get("/api/admin/ledger", **team.with_token())
            assert answer.status == 200
            assert "Set-Cookie" not in answer.headers, "strictly, a program gets no cookie"
            headers = team.seen[-1]
            claims = await verified(team, headers[ASSERTION])
            assert claims["common_name"] == team.token["clientId"]
            assert (claims["sub"], claims["type"]) == ("", "app")
            assert claims["aud"] == [team.auds["api"]]
            assert "email" not in claims
            assert "Cf-Access-Authenticated-User-Email" not in headers
            assert not any(name.lower().startswith("cf-access-client") for name in headers)
            assert await _status(team, "/admin", **team.with_token()) == 403
            assert ("non_identity", team.token["clientId"]) in team.decisions()

    run(scenario())


def test_credentials_that_are_not_right_are_refused_and_never_lead_to_a_login(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            right = team.with_token()
            wrong: list[dict[str, str]] = [
                team.with_token("cfast_" + "0" * 48),
                {**right, "CF-Access-Client-Id": "0" * 32 + ".access"},
                {"CF-Access-Client-Id": right["CF-Access-Client-Id"]},
                {"CF-Access-Client-Secret": right["CF-Access-Client-Secret"]},
            ]
            for headers in wrong:
                assert await _status(team, **headers, Accept="text/html") == 401, headers
            async with team.browser() as browser:
                doubled = [*right.items(), ("CF-Access-Client-Id", "x.access")]
                answer = await browser.client.get(
                    team.site.url("/api/admin"), headers=doubled, allow_redirects=False
                )
                assert answer.status == 401, "which of the two would it be?"
                await browser.log_in(path="/api/admin")
                session = browser.cookie("CF_Authorization", "/api/admin")
            cookie = {"Cookie": f"CF_Authorization={session}"}
            assert await _status(team, **cookie) == 200
            bad = {**cookie, **team.with_token("guess")}
            assert await _status(team, **bad) == 401, "a cookie does not help a wrong token"
            plain = await _status(team, Accept="application/json")
            assert plain == 401, "who reads no HTML is not led to a login page"
            assert await _status(team, Accept="text/html") == 302

    run(scenario())


def test_a_rotated_secret_counts_until_its_time_is_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            old = team.token["clientSecret"]
            now = team.site.edge.clock.now
            until = datetime.fromtimestamp(now() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            rotation = {"clientSecretVersion": 2, "previousClientSecretExpiresAt": until}
            team.change("ZeroTrustAccessServiceToken", "token", **rotation)
            record = team.handlers.ctx.store.get(
                team.handlers.resource("ZeroTrustAccessServiceToken").token, team.ids["token"]
            )
            assert record is not None
            new = record.outputs["clientSecret"]
            assert await _status(team, **team.with_token(new)) == 200
            assert await _status(team, **team.with_token(old)) == 200, "both, for an hour"
            team.advance(1.1)
            assert await _status(team, **team.with_token(new)) == 200
            assert await _status(team, **team.with_token(old)) == 401
            past = {**rotation, "previousClientSecretExpiresAt": "2020-01-01T00:00:00Z"}
            team.change("ZeroTrustAccessServiceToken", "token", **past, enabled=False)
            assert await _status(team, **team.with_token(new)) == 401, "switched off"
            team.change("ZeroTrustAccessServiceToken", "token", **past, enabled=True)
            assert await _status(team, **team.with_token(new)) == 200
            team.advance(8760)
            assert await _status(team, **team.with_token(new)) == 401, "expired after its year"

    run(scenario())


def test_one_header_may_carry_the_credentials(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            name = "readServiceTokensFromHeader"
            team.change("ZeroTrustAccessApplication", "api", **{name: "Authorization"})
            packed = json.dumps({key.lower(): value for key, value in team.with_token().items()})
            assert await _status(team, Authorization=packed) == 200
            assert "Authorization" not in team.seen[-1]
            assert await _status(team, Authorization=packed, **team.with_token()) == 401
            assert await _status(team, Authorization="Bearer x", Accept="text/html") == 302

    run(scenario())


@pytest.mark.parametrize("wants_401", [True, False])
def test_an_older_organization_leads_a_token_without_its_policy_to_the_login(
    tmp_path: Path, wants_401: bool
) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path, strictServiceTokenAuth=False) as team:
            team.change("ZeroTrustAccessApplication", "pages", serviceAuth401Redirect=wants_401)
            expected = 401 if wants_401 else 302
            assert await _status(team, "/admin", **team.with_token()) == expected
            assert await _status(team, **team.with_token()) == 200

    run(scenario())


def test_a_bypass_tells_the_origin_nothing_and_a_deny_stops_whom_an_allow_would_let_in(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            account = team.handlers.ctx.account["cloudflare"]["accounts"][0]["id"]

            def policy(name: str, decision: str, selector: dict[str, object]) -> dict[str, str]:
                given = {"name": name, "decision": decision, "includes": [selector]}
                made = team.handlers.create(
                    "ZeroTrustAccessPolicy", {"accountId": account, **given}
                )
                return {"id": made.id}

            ada = policy("not-ada", "deny", {"email": {"email": ADA}})
            admins = {"id": team.ids["admins"]}
            team.change("ZeroTrustAccessApplication", "pages", policies=[ada, admins])
            async with team.browser() as browser:
                await browser.open("/admin")
                assert await browser.choose(ADA) == 403
            local = policy("here", "bypass", {"ip": {"ip": "127.0.0.0/8"}})
            team.change("ZeroTrustAccessApplication", "pages", policies=[ada, admins, local])
            assert await _status(team, "/admin") == 200, "bypass comes first, wherever it stands"
            assert ASSERTION not in team.seen[-1]

    run(scenario())
