"""What must never be in a log is not there, however it got into the line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from payments.ops import logs
from payments.ops.redaction import MARK, clean, clean_text

CARDS = ["4242424242424242", "4000 0566 5566 5556", "3782-822463-10005", "6011111111111117"]
SECRETS = [
    "sk_live_51HxAbCdEf",
    "rk_test_abcdef123456",
    "whsec_5f8d3b2a1c",
    "dop_v1_0123456789abcdef",
    "pi_3Nabc_secret_9XyZ",
    "cs_test_a1b2_secret_c3d4",
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Everything that is logged while the test runs, as it would leave the process."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure(level="DEBUG", release="r1", stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("secret", [*CARDS, *SECRETS])
@pytest.mark.parametrize("around", ["{}", "before {} after", '{{"field": "{}"}}', "x=({})"])
def test_a_secret_s_shape_is_known_anywhere_in_a_text(secret: str, around: str) -> None:
    cleaned = clean_text(around.format(secret))
    assert secret not in cleaned
    assert MARK in cleaned


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("postgresql://app:hunter22@db:25060/payments", "hunter22"),
        ("rediss://default:hunter22@cache:25061/0", "hunter22"),
        ("Authorization: Bearer abcdef123456", "abcdef123456"),
        ("authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("Cookie: __Host-session=Zm9vYmFy; theme=dark", "Zm9vYmFy"),
        ("csrf=abcdef&email=a", "abcdef"),
        ("{'password': 'hunter22 and more'}", "hunter22 and more"),
        ('{"password":"hunter22"}', "hunter22"),
        ("password = hunter22", "hunter22"),
        ("Key (email)=(ada.lovelace+x@example.com) already exists", "ada.lovelace+x"),
    ],
)
def test_a_named_secret_in_a_text_goes_and_the_rest_stays(text: str, gone: str) -> None:
    cleaned = clean_text(text)
    assert gone not in cleaned
    assert cleaned.split(MARK)[0] == text.split(gone)[0].rstrip("'\"") or MARK in cleaned


@pytest.mark.parametrize(
    "name",
    ["password", "Authorization", "cookie", "set-cookie", "stripe_secret_key", "api-key", "token",
     "session_id", "csrf", "cvc", "card_number", "database_url", "current_password"],
)  # fmt: skip
def test_a_field_goes_by_its_name_whatever_it_holds(name: str) -> None:
    assert clean({name: {"anything": 1}}) == {name: MARK}


@pytest.mark.parametrize(
    "harmless",
    [
        "1234567890123456",  # fails the Luhn check
        "2026-11-21T01:35:08.429152Z",
        "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "a6bbc116f69892cc37809b1919b159a9",
        "order 42 of 100 000 000",
        "pk_live_is_public",
        "https://pay.example.com/orders/1?returned=1",
        "0000000000000000",
    ],
)
def test_what_is_harmless_stays_as_it_is(harmless: str) -> None:
    assert clean_text(harmless) == harmless


@given(st.integers(min_value=10**12, max_value=10**18 - 1), st.sampled_from(["", " ", "-"]))
def test_every_number_that_passes_the_luhn_check_goes(number: int, gap: str) -> None:
    digits = str(number)
    check = next(
        c
        for c in "0123456789"
        if sum(sum(divmod(int(d) * (1 + i % 2), 10)) for i, d in enumerate(reversed(digits + c)))
        % 10
        == 0
    )
    card = digits + check
    spaced = gap.join(card[at : at + 4] for at in range(0, len(card), 4))
    assert spaced not in clean_text(f"paid with {spaced} today")
    assert clean(int(card)) == MARK


def test_structures_are_cleaned_at_any_depth_and_cycles_end() -> None:
    nested: dict[str, object] = {"a": [{"b": ("sk_live_51HxAbCdEf", {"password": "x"})}]}
    nested["self"] = nested
    assert "sk_live" not in repr(clean(nested))


def test_bytes_are_counted_not_shown() -> None:
    assert clean({"body": b"4242424242424242"}) == {"body": "<16 bytes>"}


def test_planted_markers_reach_no_line_by_any_road(written: io.StringIO) -> None:
    marker = "sk_live_PLANTEDMARKER"
    log = logs.get_logger("tests")
    log.info("fields", password=marker, nested={"headers": [("cookie", marker)]}, text=marker)
    log.info("positional %s", marker)
    logging.getLogger("library").warning(marker)
    logging.getLogger("library").warning("told %s", {"authorization": marker})
    with structlog.contextvars.bound_contextvars(token=marker, note=marker):
        log.info("bound")
    try:
        raise ValueError(f"refused {marker}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("library").exception("failed too")
    lines = written.getvalue().splitlines()
    assert len(lines) == 7
    assert "PLANTEDMARKER" not in written.getvalue()
    assert "Traceback" in lines[-2], "the rest of the traceback is kept"
    for line in lines:
        assert json.loads(line)["release"] == "r1"


def test_every_line_is_one_json_object_with_time_level_and_logger(written: io.StringIO) -> None:
    logs.get_logger("tests").info("several\nlines", amount=1999)
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found["event"] == "several\nlines"
    assert (found["level"], found["logger"], found["amount"]) == ("info", "tests", 1999)
    assert found["timestamp"].endswith("Z")


def test_the_server_s_own_lines_take_the_same_road(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").error("password=hunter22")
    logging.getLogger("uvicorn.access").info("GET /?token=1")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["logger"] == "uvicorn.error"
    assert "hunter22" not in line
