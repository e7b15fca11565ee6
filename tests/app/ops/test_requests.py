"""Every answer's headers, every request's line and figures, and errors nobody expected."""

from __future__ import annotations

import io
import json
import logging
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import structlog
from prometheus_client import generate_latest

from payments.app import create_app
from payments.ops import logs, metrics
from payments.ops.headers import CONTENT_SECURITY_POLICY
from payments.resources import Resources
from tests.app.people.site import PASSWORD, Browser, browser_on

MARKER = "PLANTEDMARKER"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    stream = io.StringIO()
    logs.configure(stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _answered(stream: io.StringIO) -> list[dict[str, object]]:
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [event for event in events if event["event"] == "request.answered"]


def _value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


@pytest_asyncio.fixture
async def own(resources: Resources) -> AsyncIterator[Browser]:
    """A browser on an application of this test's own, with a page that fails with a secret."""
    app = create_app(resources)

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError(f"password=hunter22 {MARKER} sk_live_{MARKER}")

    @app.get("/drain")
    async def drain() -> None:
        app.state.drain.begin()

    async with browser_on(app) as made:
        yield made


@pytest.mark.parametrize("path", ["/login", "/livez", "/nowhere", "/api/nowhere", "/broken"])
async def test_every_answer_has_the_security_headers(own: Browser, path: str) -> None:
    headers = (await own.get(path)).response.headers
    assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "max-age=31536000" in headers["strict-transport-security"]
    assert "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"]
    assert "server" not in headers


async def test_a_draining_replica_s_refusal_has_them_too(own: Browser) -> None:
    await own.get("/drain")
    answer = (await own.get("/login")).response
    assert answer.status_code == 503
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY


def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


async def test_an_unexpected_error_shows_a_person_nothing_but_its_reference(
    own: Browser, lines: io.StringIO
) -> None:
    page = await own.get("/broken")
    assert page.response.status_code == 500
    assert page.response.headers["content-type"].startswith("text/html")
    assert page.response.headers["x-request-id"] in page.words
    api = await own.client.get("/broken", headers={"accept": "application/json"})
    assert api.status_code == 500
    assert api.json()["code"] == "internal_error"
    for text in (page.response.text, api.text):
        assert MARKER not in text
        assert "Traceback" not in text
        assert "RuntimeError" not in text
    logged = lines.getvalue()
    assert "Traceback" in logged, "we need it"
    assert "hunter22" not in logged
    assert f"sk_live_{MARKER}" not in logged


async def test_a_request_has_one_line_with_its_ids(browser: Browser, lines: io.StringIO) -> None:
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    await browser.get(
        "/login?next=/secret-path",
        headers={"x-request-id": "edge-0123456789", "traceparent": f"00-{trace}-{span}-01"},
    )
    (line,) = _answered(lines)
    assert line["request_id"] == "edge-0123456789"
    assert (line["trace_id"], line["parent_span_id"]) == (trace, span)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/login", 200)
    assert line["client"] == "198.51.100.7"
    assert "secret-path" not in lines.getvalue()


@pytest.mark.parametrize("told", ["short", "x" * 65, 'a"b{c}12345', "späße-0123"])
async def test_a_malformed_id_is_replaced(browser: Browser, told: str) -> None:
    answer = (await browser.get("/livez", headers={"x-request-id": told.encode()})).response
    assert answer.headers["x-request-id"] != told
    assert len(answer.headers["x-request-id"]) == 32


async def test_probes_are_silent_while_all_is_well(browser: Browser, lines: io.StringIO) -> None:
    await browser.get("/livez")
    await browser.get("/readyz")
    assert _answered(lines) == []


async def test_nothing_that_somebody_typed_is_logged_during_a_whole_visit(
    browser: Browser, lines: io.StringIO
) -> None:
    await browser.log_in(password="a wrong guess " + MARKER)
    await browser.register(f"{MARKER}@example.com", f"pass {MARKER} phrase")
    await browser.join()
    await browser.get(f"/orders/{MARKER}?q={MARKER}")
    session = browser.session or ""
    await browser.send("/logout", on="/account")
    text = lines.getvalue()
    assert "request.answered" in text
    for secret in (MARKER, MARKER.lower(), PASSWORD, browser.email, session):
        assert secret not in text


async def test_requests_are_counted_by_route_and_a_scanner_makes_no_series(
    browser: Browser,
) -> None:
    before = _value("http_requests_total", method="GET", route="/login", status="200")
    unmatched = _value("http_requests_total", method="GET", route="unmatched", status="404")
    await browser.get("/login?x=1")
    for number in range(5):
        await browser.get(f"/wp-admin/{number}")
    await browser.client.request("BREW", "/coffee")
    assert _value("http_requests_total", method="GET", route="/login", status="200") == before + 1
    after = _value("http_requests_total", method="GET", route="unmatched", status="404")
    assert after == unmatched + 5
    text = generate_latest(metrics.REGISTRY).decode()
    assert "wp-admin" not in text
    assert "BREW" not in text
    assert 'http_request_duration_seconds_bucket{le="0.005",method="GET",route="/login"}' in text


def test_a_payment_s_step_is_counted_and_timed_by_what_came_of_it() -> None:
    labels = {"gateway": "tests", "operation": "checkout"}
    with metrics.payment_attempt("tests", "checkout") as attempt:
        attempt.outcome = "succeeded"
    with pytest.raises(RuntimeError), metrics.payment_attempt("tests", "checkout"):
        raise RuntimeError
    with metrics.payment_attempt("tests", "checkout"):
        pass
    for outcome in ("succeeded", "failed", "unknown"):
        assert _value("payment_attempts_total", **labels, outcome=outcome) == 1
        assert _value("payment_duration_seconds_count", **labels, outcome=outcome) == 1


async def test_the_figures_are_on_a_port_of_their_own(browser: Browser) -> None:
    assert (await browser.get("/metrics")).response.status_code == 404
    server, thread = metrics.serve(0, "127.0.0.1")
    try:
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
    assert "http_requests_total" in text
    assert "build_info" in text
