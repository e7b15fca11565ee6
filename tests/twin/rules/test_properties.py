"""What holds for every expression: it round-trips, it never breaks otherwise than by RuleError."""

from __future__ import annotations

import contextlib
import re
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.twin.rules.test_evaluation import MATCHES, MISSES, REQUEST, VALUES
from twin.rules import FIELDS, FUNCTIONS, AddressSet, RuleError, parse
from twin.rules.regex import PatternError, compile_pattern
from twin.rules.writer import quoted

WORDS = r"""
    ( ) { } [ ] [*] [0] , and or not xor && || ^^ ! == != eq ne in contains matches ~ wildcard
    strict true false $office " r" r#" \ 0x 10.0.0.0/8 ::1 .. 5 -1 "a" "^a$" ' #
    http.host http.request.headers ip.src ssl http.request.headers.names cf.x
    any( len( lower( starts_with( concat( cidr( regex_replace( split(
"""
TOKENS = [*WORDS.split(), "\n", "\t", "é", "\x00"]
PATTERNS = r"""
    a b . \d \w \. ^ $ [a-z] [^a] [[:alpha:]] ( ) (?: (?i) (?i: (?-i) | * + ? {2} {1,3} *?
    (?P<n> \b \1 \x41 \x{41} (?= [ ] - \z {
"""

fields = st.sampled_from(['http.host eq "a"', "ssl", "ip.src in {10.0.0.0/8 ::1}", "cf.client.bot"])
conditions = st.recursive(
    fields,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(["and", "or", "xor"]), inner),
        st.builds("{} {} {}".format, inner, st.sampled_from(["&&", "||", "^^"]), inner),
        st.builds("not {}".format, inner),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=14).map(" ".join) | st.text(max_size=40))
def test_garbage_is_refused_with_a_place_and_breaks_nothing(text: str) -> None:
    refusal = None
    try:
        expression = parse(text)
        expression.compile()({**REQUEST, "$office": AddressSet([])})
    except RuleError as error:
        refusal = error
    if refusal is not None:
        assert 0 <= refusal.position <= len(text)
        assert "^" in str(refusal)
        assert refusal.source == text


@pytest.mark.parametrize("text", [*MATCHES, *MISSES, *(text for text, _ in VALUES)])
def test_the_canonical_form_means_the_same(text: str) -> None:
    expression = parse(text)
    again = parse(str(expression))
    assert again.node == expression.node
    assert str(again) == str(expression)


@settings(max_examples=200, deadline=None)
@given(conditions)
def test_conditions_round_trip_and_agree_with_python(text: str) -> None:
    expression = parse(text)
    assert parse(str(expression)).node == expression.node
    for host in ("a", "b"):
        request = {**REQUEST, "http.host": host}
        assert expression.compile()(request) is _python(text, request)


def _python(text: str, request: dict[str, Any]) -> bool:
    """The same by Python's own precedence: `not`, `&`, `^`, `|` in the documented order."""
    known = {
        'http.host eq "a"': request["http.host"] == "a",
        "ssl": request["ssl"],
        "ip.src in {10.0.0.0/8 ::1}": False,
        "cf.client.bot": request["cf.client.bot"],
    }
    for name, value in known.items():
        text = text.replace(name, str(value))
    # `~` binds in Python as `not` does here; on 0 and 1 the lowest bit is what counts.
    for word, symbol in (("&&", "&"), ("||", "|"), ("^^", "^"), ("not", "~"), ("and", "&")):
        text = text.replace(word, symbol)
    text = text.replace("xor", "^").replace("or", "|")
    return bool(eval(text.replace("True", "1").replace("False", "0")) & 1)  # noqa: S307


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=20))
@example(b'\xff"\\')
def test_every_byte_string_can_be_written_and_compared(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert parse(f"http.host eq {quoted(text)}").compile()({"http.host": text})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PATTERNS.split()), max_size=8).map("".join))
def test_patterns_either_compile_or_are_refused(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        compile_pattern(pattern).search("abba 1")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a$", "a\n", False),  # only the very end
        ("(?m)a$", "a\nb", True),
        (r"^\w$", "é", False),  # no Unicode unless asked for
        (r"(?u)^\w$", "é", True),
        ("a(?i)b", "aB", True),
        ("a(?i)b", "AB", False),
        ("a(?i)b|c", "C", True),  # a flag holds to the end of its group
        ("(a(?i)b)c", "aBC", False),
        ("(?i:a|b)c", "Bc", True),
        ("(?i:a|b)c", "BC", False),
        ("x[[:digit:]]+", "x12", True),
        (r"[\d\-a]+", "-", True),
        (r"[a\]]", "]", True),
        (r"\x{2601}", "\u2601", True),
        (r"^.$", "\n", False),
        (r"(?s)^.$", "\n", True),
        (r"#a b~&", "#a b~&", True),
    ],
)
def test_patterns_mean_what_rust_means(pattern: str, text: str, found: bool) -> None:
    assert (compile_pattern(pattern).search(text) is not None) is found


@given(st.lists(st.ip_addresses(v=4), max_size=6), st.ip_addresses())
def test_a_set_of_addresses_holds_exactly_what_it_was_given(
    held: list[IPv4Address], asked: IPv4Address | IPv6Address
) -> None:
    made = AddressSet.of([str(address) for address in held])
    assert all(address in made for address in held)
    assert (asked in made) is (asked in held)


def test_every_field_and_function_has_a_documented_name() -> None:
    assert all(re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", name) for name in FIELDS)
    assert all(re.fullmatch(r"[a-z0-9_]+", name) for name in FUNCTIONS)
    assert {"http.host", "ip.src", "ssl", "cf.client.bot", "http.response.code"} <= set(FIELDS)
