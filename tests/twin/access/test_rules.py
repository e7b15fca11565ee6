"""Selectors, groups of rules, paths and codes, by tables and properties."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.access import paths, totp
from twin.access.rules import MACHINE, PERSON, Judge, Person, Policy, Subject

ADA = Person(
    email="Ada@example.com",
    provider="google",
    groups=frozenset({"admins@example.com"}),
    posture=frozenset({"enrolled"}),
)
HOME = Subject(address="192.0.2.7", country="DE", person=ADA)
JUDGE = Judge(
    {
        "office": frozenset({"192.0.2.0/24", "2001:db8::/32"}),
        "people": frozenset({"ADA@example.com"}),
    }
)


@pytest.mark.parametrize(
    ("selector", "met"),
    [
        ({"everyone": {}}, True),
        ({"email": {"email": "ada@EXAMPLE.com"}}, True),
        ({"email": {"email": "ada@example.com.evil"}}, False),
        ({"emailDomain": {"domain": "example.com"}}, True),
        ({"emailDomain": {"domain": "ample.com"}}, False),
        ({"emailList": {"id": "people"}}, True),
        ({"gsuite": {"email": "Admins@example.com", "identityProviderId": "google"}}, True),
        ({"gsuite": {"email": "admins@example.com", "identityProviderId": "other"}}, False),
        ({"loginMethod": {"id": "google"}}, True),
        ({"devicePosture": {"integrationUid": "enrolled"}}, True),
        ({"devicePosture": {"integrationUid": "encrypted"}}, False),
        ({"ip": {"ip": "192.0.2.7"}}, True),
        ({"ip": {"ip": "192.0.2.8/31"}}, False),
        ({"ipList": {"id": "office"}}, True),
        ({"ipList": {"id": "gone"}}, False),
        ({"geo": {"countryCode": "DE"}}, True),
        ({"geo": {"countryCode": "US"}}, False),
        ({"serviceToken": {"tokenId": "t"}}, False),
        ({"anyValidServiceToken": {}}, False),
        ({"authMethod": {"authMethod": "mfa"}}, False),
        ({"certificate": {}}, False),
    ],
)
def test_a_selector_means_whom_it_says(selector: dict[str, Any], met: bool) -> None:
    policy = Policy(id="p", name="p", decision="allow", includes=[selector])
    assert JUDGE.means(policy, HOME) is met


EVERYONE: dict[str, Any] = {"everyone": {}}
HERE, THERE = {"geo": {"countryCode": "DE"}}, {"geo": {"countryCode": "US"}}


@pytest.mark.parametrize(
    ("rules", "met"),
    [
        ({"includes": []}, False),
        ({"includes": [THERE, HERE]}, True),
        ({"includes": [EVERYONE], "requires": [HERE, THERE]}, False),
        ({"includes": [EVERYONE], "requires": [HERE, HERE]}, True),
        ({"includes": [EVERYONE], "excludes": [THERE]}, True),
        ({"includes": [EVERYONE], "excludes": [THERE, HERE]}, False),
    ],
)
def test_includes_are_alternatives_requires_add_up_excludes_win(
    rules: dict[str, Any], met: bool
) -> None:
    assert JUDGE.means(Policy(id="p", name="p", decision="allow", **rules), HOME) is met


def test_the_documented_order_holds() -> None:
    named = [("A", "allow"), ("B", "deny"), ("C", "non_identity"), ("D", "bypass"), ("E", "allow")]
    policies = [
        Policy(id=name, name=name, decision=decision, includes=[EVERYONE])
        for name, decision in named
    ]
    machine, person = (JUDGE.first(policies, kinds, HOME) for kinds in (MACHINE, PERSON))
    assert machine is not None
    assert person is not None
    assert (machine.name, person.name) == ("C", "A")


def test_between_logins_identity_stands_and_addresses_do_not() -> None:
    policy = Policy(
        id="p",
        name="p",
        decision="allow",
        includes=[{"email": {"email": "grace@example.com"}}],
        requires=[{"ipList": {"id": "office"}}],
    )
    away = Subject(address="203.0.113.1", country="IN", person=ADA)
    assert not JUDGE.means(policy, HOME)
    assert JUDGE.means(policy, HOME, identity_known=True)
    assert not JUDGE.means(policy, away, identity_known=True)


@pytest.mark.parametrize(
    ("uri", "covered", "left_out"),
    [
        ("h.example/admin", ["/admin", "/admin/", "/admin/x/y", "/ADMIN"], ["/", "/administrator"]),
        ("h.example", ["/", "/anything"], []),
        ("h.example/*", ["/", "/anything"], []),
        ("h.example/alpha/*", ["/alpha/one"], ["/alpha", "/"]),
        ("h.example/foo*/bar", ["/foo/bar", "/food/bar", "/food/stuff/bar"], ["/foo", "/bar"]),
    ],
)
def test_paths_cover_what_the_documentation_says(
    uri: str, covered: list[str], left_out: list[str]
) -> None:
    spot = paths.place(uri)
    assert [p for p in covered if not spot.covers("h.example", paths.plain(p))] == []
    assert [p for p in left_out if spot.covers("h.example", paths.plain(p))] == []


@pytest.mark.parametrize(
    ("pattern", "covered", "left_out"),
    [
        ("*.example.com", ["a.example.com"], ["example.com", "a.b.example.com"]),
        (
            "*test.example.com",
            ["test.example.com", "alphatest.example.com"],
            ["b.test.example.com"],
        ),
        ("*.test.example.com", ["a.test.example.com"], ["test.example.com", "example.com"]),
    ],
)
def test_a_wildcard_in_a_host_stays_within_its_label(
    pattern: str, covered: list[str], left_out: list[str]
) -> None:
    spot = paths.place(pattern)
    assert all(spot.covers(host, "/") for host in covered)
    assert not any(spot.covers(host, "/") for host in left_out)


def test_the_more_specific_application_ranks_higher() -> None:
    written = ["*.example.com", "h.example.com", "h.example.com/eng", "h.example.com/eng/exec"]
    ranks = [paths.place(uri).rank for uri in written]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


@given(st.text(alphabet="adminADMIN/.%2f\\5cE61", max_size=30))
def test_reading_a_path_twice_changes_nothing_more(text: str) -> None:
    once = paths.plain("/" + text.replace("%", ""))
    assert paths.plain(once) == once
    assert "//" not in once
    assert "/../" not in once + "/"


# RFC 6238, appendix B (SHA-1), the last six of its eight digits.
@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1234567890, "005924"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890"
    assert totp.code(key, moment // totp.STEP) == code
    assert totp.matching(key, code, moment, after=-1) == moment // totp.STEP
    assert totp.matching(key, code, moment + totp.STEP, after=-1) is not None, "a step late"
    assert totp.matching(key, code, moment + 3 * totp.STEP, after=-1) is None
    assert totp.matching(key, code, moment, after=moment // totp.STEP) is None, "used before"
