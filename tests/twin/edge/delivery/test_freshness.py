"""What is kept and for how long: the documented tables, case by case."""

from __future__ import annotations

from typing import Any

import pytest
from multidict import CIMultiDict

from twin.edge.delivery import freshness
from twin.edge.delivery.freshness import Policy

DATE = "Sat, 21 Nov 2026 04:00:00 GMT"
DEFAULT = Policy(eligible=True)
BY_RULE = Policy(eligible=True, by_rule=True)
OVERRIDE = Policy(eligible=True, by_rule=True, edge={"mode": "override_origin", "default": 7200})
BYPASS = Policy(eligible=True, by_rule=True, edge={"mode": "bypass_by_default"})
ARMOR = Policy(eligible=True, by_rule=True, key={"cacheDeceptionArmor": True})


def judge(
    headers: dict[str, str],
    policy: Policy = DEFAULT,
    *,
    status: int = 200,
    authorised: bool = False,
    plan: str = "pro",
) -> tuple[str, float]:
    verdict = freshness.judge(
        status,
        CIMultiDict(headers),
        policy,
        authorised=authorised,
        plan=plan,
        path="/news/a.jpg",
    )
    return verdict.status, verdict.ttl


def control(value: str) -> dict[str, str]:
    return {"Cache-Control": value}


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, ("MISS", 7200)),
        (control("max-age=60"), ("MISS", 60)),
        (control("public, max-age=31536000, immutable"), ("MISS", 31536000)),
        (control("max-age=60, s-maxage=10"), ("MISS", 10)),
        (control("private, max-age=60"), ("BYPASS", 0)),
        (control("no-store"), ("BYPASS", 0)),
        (control("no-cache"), ("BYPASS", 0)),
        (control("max-age=0"), ("BYPASS", 0)),
        (control("max-age=nonsense"), ("BYPASS", 0)),
        ({"Expires": "Sat, 21 Nov 2026 05:00:00 GMT", "Date": DATE}, ("MISS", 3600)),
        ({"Expires": "Sat, 21 Nov 2026 03:00:00 GMT", "Date": DATE}, ("BYPASS", 0)),
        ({"Expires": "0", "Date": DATE}, ("BYPASS", 0)),
        ({"Expires": DATE, **control("max-age=9")}, ("MISS", 9)),
        ({"Set-Cookie": "a=1", **control("public, max-age=60")}, ("BYPASS", 0)),
        # The more specific header wins (RFC 9213).
        ({"CDN-Cache-Control": "max-age=5", **control("no-store")}, ("MISS", 5)),
        (
            {"Cloudflare-CDN-Cache-Control": "no-store", "CDN-Cache-Control": "max-age=5"},
            ("BYPASS", 0),
        ),
        ({"Vary": "Cookie"}, ("MISS", 7200)),
    ],
)
def test_the_origins_words_hold(headers: dict[str, str], verdict: tuple[str, float]) -> None:
    assert judge(headers) == verdict


@pytest.mark.parametrize(
    ("status", "ttl"),
    [
        (200, 7200),
        (301, 7200),
        (302, 1200),
        (303, 1200),
        (404, 180),
        (410, 180),
        (403, 0),
        (500, 0),
    ],
)
def test_without_words_the_status_decides(status: int, ttl: float) -> None:
    assert judge({}, status=status) == ("MISS", ttl)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("max-age=60", False),
        ("public, max-age=60", True),
        ("max-age=60, must-revalidate", True),
        ("s-maxage=60", True),
    ],
)
def test_a_reply_to_an_authorised_request_is_kept_when_it_says_so(value: str, kept: bool) -> None:
    assert judge(control(value), authorised=True) == (("MISS", 60) if kept else ("BYPASS", 0))


def test_set_cookie_under_a_rule_is_a_miss_every_time() -> None:
    assert judge({"Set-Cookie": "a=1"}, BY_RULE) == ("MISS", 0)


def test_an_overriding_ttl_ignores_the_origin_and_strips_its_cookies() -> None:
    headers = {"Set-Cookie": "a=1", **control("no-store")}
    assert judge(headers, OVERRIDE) == ("MISS", 7200)
    verdict = freshness.judge(
        200, CIMultiDict(headers), OVERRIDE, authorised=True, plan="pro", path="/"
    )
    assert verdict.strip_cookies
    assert judge(headers, OVERRIDE, status=500)[1] == 0


@pytest.mark.parametrize(
    ("plan", "ttl"), [("free", 7200), ("pro", 3600), ("business", 30), ("enterprise", 30)]
)
def test_a_plan_has_a_least_edge_ttl(plan: str, ttl: float) -> None:
    short = Policy(eligible=True, by_rule=True, edge={"mode": "override_origin", "default": 30})
    assert judge({}, short, plan=plan) == ("MISS", ttl)


def test_bypass_by_default_keeps_only_what_the_origin_wants_kept() -> None:
    assert judge({}, BYPASS) == ("BYPASS", 0)
    assert judge(control("max-age=60"), BYPASS) == ("MISS", 60)


def test_ttls_by_status_go_before_everything() -> None:
    edge = {
        "mode": "respect_origin",
        "statusCodeTtls": [
            {"statusCodeRange": {"to": 299}, "value": 86400},
            {"statusCode": 404, "value": 0},
            {"statusCodeRange": {"from": 500}, "value": -1},
        ],
    }
    policy = Policy(eligible=True, by_rule=True, edge=edge)
    assert judge(control("no-store"), policy) == ("MISS", 86400)
    assert judge({}, policy, status=404) == ("BYPASS", 0)
    assert judge({}, policy, status=503) == ("BYPASS", 0)
    assert judge({}, policy, status=301) == ("MISS", 7200)


@pytest.mark.parametrize(
    ("media", "kept"),
    [
        ("image/jpeg", True),
        ("image/webp", True),
        ("application/octet-stream", True),
        ("", True),
        ("text/html; charset=utf-8", False),
        ("application/json", False),
    ],
)
def test_a_page_under_a_files_name_is_not_kept(media: str, kept: bool) -> None:
    assert judge({"Content-Type": media}, ARMOR) == (("MISS", 7200) if kept else ("BYPASS", 0))


@pytest.mark.parametrize(
    ("headers", "browser", "zone", "told"),
    [
        (control("max-age=60"), None, 0, "max-age=60"),
        (control("public, max-age=60"), None, 14400, "public, max-age=14400"),
        (control("max-age=99999"), None, 14400, "max-age=99999"),
        ({}, None, 14400, "max-age=14400"),
        ({}, None, 0, None),
        (control("private"), None, 14400, "private"),
        ({"Expires": "Sat, 21 Nov 2026 04:01:00 GMT", "Date": DATE}, None, 14400, "max-age=14400"),
        (
            control("no-store"),
            {"mode": "override_origin", "default": 30},
            0,
            "no-store, max-age=30",
        ),
        (control("max-age=9"), {"mode": "respect_origin"}, 14400, "max-age=9"),
        (control("max-age=9"), {"mode": "bypass"}, 0, "no-store"),
    ],
)
def test_browsers_are_told_the_longer_of_setting_and_origin(
    headers: dict[str, str], browser: dict[str, Any] | None, zone: int, told: str | None
) -> None:
    changed = CIMultiDict(headers)
    freshness.tell_browser(changed, Policy(eligible=True, browser=browser), zone)
    assert changed.get("Cache-Control") == told
    assert "Expires" not in changed or told is None


def test_words_for_the_edge_alone_stay_at_the_edge() -> None:
    headers = CIMultiDict({"Cloudflare-CDN-Cache-Control": "max-age=5", "CDN-Cache-Control": "x"})
    freshness.tell_browser(headers, DEFAULT, 0)
    assert list(headers) == ["CDN-Cache-Control"]
