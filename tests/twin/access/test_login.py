"""A person logs in: provider, posture, second factor, session; and what must not work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.twin.access.team import (
    ADA,
    DOMAIN,
    ISSUER,
    TEAM,
    VISITOR,
    Team,
    deployed,
    public_keys,
    query,
    run,
    verified,
)
from tests.twin.edge.harness import SITE

ASSERTION = "Cf-Access-Jwt-Assertion"


def test_an_admin_comes_in_by_google_a_managed_device_and_a_code(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            before = int(time.time())
            await browser.open("/admin/payments?page=2", follow=False)
            assert browser.status == 302
            assert browser.location.startswith(
                f"https://{TEAM}:{team.site.edge.port}/cdn-cgi/access/login/{SITE}?"
            )
            await browser.log_in(path="/admin/payments?page=2")
            assert browser.status == 200, browser.page
            assert str(browser.url) == team.site.url("/admin/payments?page=2")
            headers = team.seen[-1]
            assert headers["Cf-Access-Authenticated-User-Email"] == ADA
            claims = await verified(team, headers[ASSERTION])
            assert claims["aud"] == [team.auds["pages"]]
            assert (claims["iss"], claims["email"], claims["type"]) == (ISSUER, ADA, "app")
            assert before <= claims["iat"] <= time.time()
            assert claims["exp"] - claims["iat"] == 8 * 3600
            assert claims["identity_nonce"]
            assert claims["sub"]
            assert claims["policy_id"] == team.ids["admins"]
            assert ("allow", f"{ADA}: logged in") in team.decisions()
            # Again, for another page and without any question.
            assert await browser.open("/admin") == 200
            assert "CF_AppSession" not in team.seen[-1].get("Cookie", "")

    run(scenario())


def test_what_is_not_covered_is_open_and_says_nothing_of_anybody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            spoofed = {ASSERTION: "a.b.c", "Cf-Access-Authenticated-User-Email": ADA}
            for path in ("/", "/administrator", "/api/administrators", "/api", "/x/admin"):
                answer = await team.get(path, **spoofed)
                assert answer.status == 200, path
                assert ASSERTION not in team.seen[-1], path
                assert "Cf-Access-Authenticated-User-Email" not in team.seen[-1]

    run(scenario())


@pytest.mark.timeout(120)
def test_no_spelling_of_a_path_slips_by(tmp_path: Path) -> None:
    tricks = (
        "/admin",
        "/admin/",
        "/ADMIN",
        "/aDmIn/x",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/%61dmin",
        "/%2fadmin",
        "/admin%2fusers",
        "/admin?x=/public",
        "/\\admin",
        "/%5cadmin",
        "/api/admin",
        "/api//admin/ledger",
        "/api/%2e%2e/api/admin",
        "/api%2Fadmin",
        "/api/x/..%2fadmin",
        "/API/Admin/x",
    )

    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            for path in tricks:
                assert await browser.open(path, follow=False) == 302, path
            assert team.seen == [], "nothing reached the origin"

    run(scenario())


def test_who_may_not_come_in_is_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            async with team.browser() as browser:
                await browser.open("/admin")
                assert await browser.choose(VISITOR) == 403
                assert VISITOR in browser.page
            async with team.browser() as browser:
                await browser.open("/admin")
                assert await browser.post({"other": "someone@gmail.com"}) == 403
            async with team.browser() as browser:
                await browser.open("/admin")
                assert await browser.post({"other": f"nobody@{DOMAIN}"}) == 422
            async with team.browser() as browser:
                await browser.open("/admin")
                assert await browser.choose(ADA, posture=False) == 403, "a device of her own"
            assert team.seen == []
            blocked = [detail for action, detail in team.decisions() if action == "block"]
            assert len(blocked) == 3

    run(scenario())


def test_a_wrong_client_secret_lets_nobody_in(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            config = {"clientId": "client", "clientSecret": "guess", "appsDomain": DOMAIN}
            team.change("ZeroTrustAccessIdentityProvider", "google", config=config)
            await browser.open("/admin")
            assert await browser.choose(ADA) == 400
            assert "invalid_client" in browser.page

    run(scenario())


def test_codes_count_once_and_five_wrong_ones_end_the_login(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            async with team.browser() as browser:
                key = await browser.log_in()
                used = browser.code(key)
            async with team.browser() as browser:
                await browser.open("/admin")
                await browser.choose(ADA)
                assert "/cdn-cgi/access/mfa" in str(browser.url)
                assert await browser.post({"code": used}) == 422, "the code was used before"
                for _ in range(3):
                    assert await browser.post({"code": "abcdef"}) == 422
                assert await browser.post({"code": "abcdef"}) == 403
                assert await browser.post({"code": browser.code(key, 1)}) == 400, "it is over"
            async with team.browser() as browser:
                await browser.open("/admin")
                await browser.choose(ADA)
                assert await browser.post({"code": browser.code(key, 1)}) == 200

    run(scenario())


def test_sessions_and_second_factors_end_when_their_time_is_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            await browser.log_in()
            token = browser.cookie("CF_Authorization", "/admin")
            team.advance(7.9)
            assert await browser.open("/admin", follow=False) == 200
            team.advance(0.2)
            assert await browser.open("/admin", follow=False, Cookie=f"CF_Authorization={token}")
            assert browser.status == 302, "the application's session is over"
            # The team's own session lasts a day and the second factor twelve hours.
            assert await browser.open("/admin") == 200
            assert str(browser.url) == team.site.url("/admin"), "in again without a question"
            team.advance(8.1)
            await browser.open("/admin")
            assert "/cdn-cgi/access/mfa" in str(browser.url), "the second factor is asked again"
            team.advance(24)
            await browser.open("/admin")
            assert "accounts.google" in str(browser.url), "the team's session is over, too"

    run(scenario())


def test_a_token_for_one_application_is_worth_nothing_at_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            await browser.log_in()
            token = browser.cookie("CF_Authorization", "/admin")
            assert token
            assert not browser.cookie("CF_Authorization", "/"), "kept to its path"
            carried = {"Cookie": f"CF_Authorization={token}", "Accept": "text/html"}
            assert (await team.get("/admin", **carried)).status == 200
            assert (await team.get("/api/admin", **carried)).status == 302
            whole = browser.cookie("CF_Authorization", "/", TEAM)
            carried = {"Cookie": f"CF_Authorization={whole}"}
            assert (await team.get("/admin", **carried)).status == 302, "the team's own token"

    run(scenario())


def test_forged_tokens_prove_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            await browser.open("/admin", follow=False)
            meta = query(browser.location, "meta")
            await browser.log_in()
            token = browser.cookie("CF_Authorization", "/admin")
            head, body, signature = token.split(".")
            none = "eyJhbGciOiJub25lIn0"  # {"alg":"none"}
            flipped = ("A" if signature[0] != "A" else "B") + signature[1:]
            forged = (
                f"{head}.{body}.{flipped}",
                f"{none}.{body}.",
                f"{none}.{body}.{signature}",
                f"{head}.{body}",
                meta,
                "x" * 10_000,
            )
            for each in forged:
                answer = await team.get("/admin", Cookie=f"CF_Authorization={each}")
                assert answer.status == 302, each[:80]

    run(scenario())


async def _handover(team: Team) -> tuple[str, str]:
    """A finished login, not taken over: the address, and the browser's cookie of the host."""
    async with team.browser() as browser:
        await browser.open("/admin")
        await browser.choose(ADA)
        key_page = browser.page
        start = key_page.index('id="key">') + len('id="key">')
        key = key_page[start : key_page.index("<", start)]
        answer = await browser.client.post(
            browser.url, data={"code": browser.code(key)}, allow_redirects=False
        )
        return answer.headers["Location"], browser.cookie("CF_AppSession")


def test_a_login_is_taken_over_once_and_in_its_own_browser(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            address, own = await _handover(team)
            path = address.partition(SITE)[2].partition("/")[2]
            cookie = {"Cookie": f"CF_AppSession={own}"}
            assert (await team.get(f"/{path}")).status == 400, "another browser has no cookie"
            assert (await team.get(f"/{path}", **cookie)).status == 400, "and it is used up"
            assert team.seen == []

    run(scenario())


def test_a_login_goes_on_in_the_browser_that_began_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            await browser.open("/admin")
            google = str(browser.url)
            async with team.browser() as other:
                await other.open(google)
                assert await other.choose(ADA) == 400, "its address was passed to somebody else"
            async with team.browser() as other:
                await other.open("/admin", follow=False)
                address = other.location
                tampered = address.replace("meta=", "meta=x")
                assert await other.open(tampered) == 400
                team.advance(5)
                assert await other.open(address) == 400, "the note is older than four hours"

    run(scenario())


def test_addresses_are_looked_at_with_every_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            team.change("ZeroTrustList", "addresses", items=[{"value": "198.51.100.0/24"}])
            await browser.open("/api/admin")
            assert await browser.choose(ADA) == 403, "not from this address"
            team.change("ZeroTrustList", "addresses", items=[{"value": "127.0.0.0/8"}])
            await browser.log_in(path="/api/admin")
            assert browser.status == 200
            team.change("ZeroTrustList", "addresses", items=[{"value": "198.51.100.0/24"}])
            assert await browser.open("/api/admin") == 403
            assert ADA in browser.page

    run(scenario())


def test_signing_out_ends_every_session(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            await browser.log_in()
            token = browser.cookie("CF_Authorization", "/admin")
            await browser.open("/cdn-cgi/access/get-identity", Cookie=f"CF_Authorization={token}")
            assert f'"email": "{ADA}"' in browser.page
            await browser.open("/cdn-cgi/access/logout", Cookie=f"CF_Authorization={token}")
            assert "signed out" in browser.page
            answer = await team.get("/admin", Cookie=f"CF_Authorization={token}")
            assert answer.status == 302, "a copy of the cookie is worth nothing now"

    run(scenario())


def test_a_stolen_cookie_needs_its_binding(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            team.change("ZeroTrustAccessApplication", "pages", enableBindingCookie=True)
            await browser.log_in()
            assert browser.status == 200
            assert "CF_Binding" not in team.seen[-1]["Cookie"], "it never leaves the edge"
            token = browser.cookie("CF_Authorization", "/admin")
            binding = browser.cookie("CF_Binding", "/admin")
            stolen = await team.get("/admin", Cookie=f"CF_Authorization={token}")
            assert stolen.status == 302
            both = f"CF_Authorization={token}; CF_Binding={binding}"
            assert (await team.get("/admin", Cookie=both)).status == 200

    run(scenario())


def test_keys_rotate_and_the_old_one_is_good_for_a_week(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            real = await public_keys(team, "team.cloudflareaccess.com")
            assert real.keys() == (await public_keys(team)).keys()
            [first] = real
            team.advance(42 * 24)
            second, old = await public_keys(team)
            assert old == first, "published still, and second"
            team.advance(7 * 24 - 1)
            assert list(await public_keys(team)) == [second, first]
            team.advance(2)
            assert list(await public_keys(team)) == [second]

    run(scenario())


def test_without_an_app_launcher_nobody_can_enrol(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team, team.browser() as browser:
            team.handlers.delete("ZeroTrustAccessApplication", team.ids["launcher"])
            await browser.open("/admin")
            assert await browser.choose(ADA) == 403
            assert "App Launcher" in browser.page

    run(scenario())
