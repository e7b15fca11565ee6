"""What is refused, and where the caret points."""

from __future__ import annotations

import pytest

from twin.rules import RuleError, check, parse

ERRORS = [
    ("", 1, "an expression is expected"),
    ("   ", 4, "an expression is expected"),
    ('htp.host eq "x"', 1, 'unknown identifier; did you mean "http.host"?'),
    ('http.uri.path eq "x"', 1, "unknown identifier"),
    ('start_with(http.host, "x")', 1, 'unknown function; did you mean "starts_with"?'),
    ("http.host eq 5", 14, "expected a string"),
    ('http.host eq "a', 14, "could not find an ending quote"),
    (r'http.host eq "a\n"', 17, 'expected ", \\, xHH or OOO after \\'),
    ('http.host eq r#"a"', 14, 'could not find the ending "#'),
    ('ip.src eq "1.2.3.4"', 11, "expected an IP address, without quotes"),
    ("ip.src eq 1.2.3", 11, '"1.2.3" is no IP address'),
    ("ip.src in {10.0.0.1/8}", 12, "bits set behind its prefix"),
    ("ip.src in {10.0.0.0/33}", 12, "no IP address, network or range"),
    ("ip.src in {10.0.0.0..::1}", 12, "incompatible range bounds"),
    ("ip.src in 10.0.0.0/8", 11, 'expected "{"'),
    ("ip.src in {1.1.1.1", 11, 'no ending "}"'),
    ("ip.src in {}", 11, "the set is empty"),
    ('http.host in {"a", "b"}', 18, "separated by spaces, not commas"),
    ("ip.src lt 1.2.3.4", 8, 'cannot use the operator "lt" on type IP address'),
    ('ip.src contains "1"', 8, 'cannot use the operator "contains" on type IP address'),
    ("ip.src.asnum in {9..1}", 18, "the range ends before it begins"),
    ("ip.src.asnum eq 9223372036854775808", 17, "does not fit into 64 bits"),
    ("ip.src.asnum eq 089", 17, "no number of base 8"),
    ('ip.src.asnum eq "5"', 17, "expected a number, without quotes"),
    ("ip.src in $Office", 12, "expected a list's name"),
    ("ssl eq true", 5, "unrecognised input"),
    ("ssl AND ssl", 5, 'operators are lower-case: "and"'),
    ("ssl and", 8, "a field, a function or ( is expected"),
    ("(ssl", 5, 'expected ")"'),
    ("ssl)", 4, "unrecognised input"),
    ("ssl\tand ssl", 4, "unrecognised input"),
    ("not http.host", 5, '"not" needs a condition, this is of type String'),
    ("ssl and http.host", 9, '"and" combines conditions, this is of type String'),
    ('http.host ends_with "x"', 11, "ends_with is a function: write ends_with"),
    ("starts_with(http.host)", 1, "starts_with takes 2 arguments, not 1"),
    ('starts_with("foo", "f")', 13, "must be a field, not a constant"),
    ('starts_with(ip.src, "f")', 13, "must be String, this is IP address"),
    ("any(http.request.headers.names)", 5, "must be Array<Boolean>, this is Array<String>"),
    ('any(http.request.headers.names == "a")', 32, 'operator "eq" on type Array<String>'),
    ("len(http.request.headers.names[x])", 32, "expected quoted utf8 string or positive integer"),
    ('http.request.headers[0][0] eq "a"', 21, "cannot take [0] of type Map<Array<String>>"),
    ('http.host[0] eq "a"', 10, "cannot take [0] of type String"),
    ('concat(http.host, http.request.headers.names[*]) eq "a"', 19, "for the first argument only"),
    ("cidr(ip.src, 33, 64) eq 1.1.1.1", 14, "must be from 1 to 32"),
    ('split(http.host, "", 2)[0] eq "a"', 18, "must not be empty"),
    ('http.host matches "(a"', 22, "unclosed group"),
    ('http.host matches "(?<=a)b"', 20, "look-around"),
    (r'http.host matches r"(a)\1"', 25, "backreferences are not supported"),
    ('http.host matches "a{2,1}"', 21, "invalid repetition count range"),
    ('http.host matches "*a"', 20, "repetition operator missing expression"),
    ('http.host wildcard "a**"', 20, "double star"),
    (r'http.host wildcard r"a\b"', 20, "invalid wildcard"),
    ('http.host strict "a"', 18, 'expected "wildcard"'),
    ('regex_replace(http.host, "(a)", "${2}")', 33, "there is no group 2"),
    ('regex_replace(http.host, "(a)", "$1")', 33, "a $ must be written $$"),
    ('url_decode(http.host, "x") eq "a"', 23, "may hold the flags ru only"),
    ('remove_query_args(http.host, "a")', 19, "must be http.request.uri.query"),
    (
        'any(ssl and http.request.headers.names[*] == "a")',
        13,
        '"and" of Boolean and Array<Boolean>',
    ),
    ("not " * 129 + "ssl", 516, "nested deeper than 128"),
    ("(" * 129 + "ssl" + ")" * 129, 130, "nested deeper than 128"),
    ("ssl" + " " * 4096, 4097, "the maximum length of an expression is 4096"),
]


@pytest.mark.parametrize(("text", "column", "message"), ERRORS)
def test_the_error_says_what_and_where(text: str, column: int, message: str) -> None:
    with pytest.raises(RuleError) as caught:
        parse(text)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, column), str(caught.value)


def test_the_text_is_what_the_api_answers() -> None:
    with pytest.raises(RuleError) as caught:
        parse('ssl and\nhttp.hots eq "a"\nor ssl')
    assert str(caught.value).splitlines() == [
        "Filter parsing error (2:1):",
        'http.hots eq "a"',
        '^^^^^^^^^ unknown identifier; did you mean "http.host"?',
    ]


CUSTOM, LIMIT = "http_request_firewall_custom", "http_ratelimit"
HEADERS, REDIRECT = "http_response_headers_transform", "http_request_dynamic_redirect"
REWRITE = "http_request_transform"

OFFERED = [
    (CUSTOM, "free", 'http.host eq "a" and not cf.client.bot and ip.src.country in {"T1"}'),
    (CUSTOM, "free", "cf.waf.credential_check.password_leaked"),
    (CUSTOM, "pro", "cf.waf.credential_check.username_and_password_leaked"),
    (CUSTOM, "business", 'http.host matches "a" and cf.waf.score.class eq "attack"'),
    (CUSTOM, "enterprise", "cf.bot_management.score lt 30 and ip.src in $cf.open_proxies"),
    (CUSTOM, "free", "ip.src in $office"),
    (CUSTOM, "enterprise", 'lookup_json_string(http.request.body.raw, "a") eq "b"'),
    (LIMIT, "free", 'http.request.uri.path eq "/login" and not cf.bot_management.verified_bot'),
    (LIMIT, "pro", 'http.host eq "a" and http.request.uri.query contains "x"'),
    (LIMIT, "business", 'http.request.method eq "POST" and ip.src ne 1.1.1.1'),
    (LIMIT, "enterprise", 'any(http.request.headers["a"][*] eq "b")'),
    (HEADERS, "free", 'http.response.code eq 200 and http.response.headers["a"][0] eq "b"'),
    (HEADERS, "free", 'cf.response.error_type eq "waf"'),
]
NOT_OFFERED = [
    (CUSTOM, "pro", 'http.host matches "a"', "needs the plan business, the zone has pro"),
    (CUSTOM, "free", "cf.waf.credential_check.username_and_password_leaked", "needs the plan pro"),
    (CUSTOM, "business", "cf.bot_management.score lt 30", "needs the plan enterprise"),
    (CUSTOM, "pro", "cf.bot_management.verified_bot", "needs the plan enterprise"),
    (CUSTOM, "free", 'http.request.cookies["a"][0] eq "b"', "needs the plan pro"),
    (CUSTOM, "business", 'http.request.body.raw eq ""', "needs the plan enterprise"),
    (CUSTOM, "enterprise", "http.response.code eq 200", "a response's field is not available"),
    (CUSTOM, "pro", "ip.src in $offce", 'unknown list $offce; did you mean "office"?'),
    (CUSTOM, "pro", "ip.src in $cf.open_proxies", "needs the plan enterprise"),
    (CUSTOM, "free", 'is_timed_hmac_valid_v0("k", http.host, 1, 1)', "needs the plan pro"),
    (CUSTOM, "enterprise", 'ip.src.timezone.name eq "a"', "not available in the phase"),
    (CUSTOM, "enterprise", 'uuidv4(cf.ray_id) eq "a"', "uuidv4 is not available in the phase"),
    (CUSTOM, "enterprise", "http.host", "must make a Boolean, this is of type String"),
    (
        CUSTOM,
        "enterprise",
        'http.request.headers.names[*] == "a"',
        "must make a Boolean, this is of type Array<Boolean>",
    ),
    (REWRITE, "enterprise", 'to_string(ssl) eq "true"', "for values, not for a rule's condition"),
    (LIMIT, "free", 'http.host eq "a"', "rate limits of the plan free have"),
    (LIMIT, "pro", 'http.request.method eq "POST"', "rate limits of the plan pro have"),
    (LIMIT, "pro", "ip.src in $office", "rate limits of the plan pro have"),
    (LIMIT, "business", 'ip.src.country eq "T1"', "rate limits of the plan business have"),
    (HEADERS, "free", 'http.request.body.raw eq ""', "needs the plan enterprise"),
    (REDIRECT, "free", "cidr(ip.src, 1, 1) eq 1.1.1.1", "cidr is not available in the phase"),
]


@pytest.mark.parametrize(("phase", "plan", "text"), OFFERED)
def test_what_phase_and_plan_offer_is_taken(phase: str, plan: str, text: str) -> None:
    assert check(text, phase=phase, plan=plan, lists=["office"]).text == text


@pytest.mark.parametrize(("phase", "plan", "text", "message"), NOT_OFFERED)
def test_what_phase_and_plan_lack_is_refused(
    phase: str, plan: str, text: str, message: str
) -> None:
    with pytest.raises(RuleError) as caught:
        check(text, phase=phase, plan=plan, lists=["office"])
    assert message in caught.value.message


def test_counting_expressions_look_at_responses_from_business_on() -> None:
    text = 'http.response.code in {401 403} and http.request.uri.path eq "/login"'
    check(text, phase=LIMIT, plan="business", counting=True)
    check(text, phase=LIMIT, plan="enterprise", counting=True)
    with pytest.raises(RuleError, match="the plan pro has no counting expression"):
        check(text, phase=LIMIT, plan="pro", counting=True)
    with pytest.raises(RuleError, match="a response's field is not available"):
        check(text, phase=LIMIT, plan="enterprise")


def test_values_make_texts_and_have_their_own_functions() -> None:
    target = 'wildcard_replace(http.request.full_uri, "http://*", "https://${1}")'
    check(target, phase=REDIRECT, plan="free", value=True)
    regex = 'regex_replace(http.request.uri.path, "a", "b")'
    check(regex, phase=REDIRECT, plan="business", value=True)
    for text, plan, message in (
        (regex, "pro", "needs the plan business"),
        ("ssl", "free", "must make a String, this is of type Boolean"),
        (f"concat({target}, {target})", "free", "can be used once"),
        ("uuidv4(cf.ray_id)", "free", "uuidv4 is not available in the phase"),
    ):
        with pytest.raises(RuleError, match=message):
            check(text, phase=REDIRECT, plan=plan, value=True)
