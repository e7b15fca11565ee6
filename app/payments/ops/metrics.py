"""Figures for Prometheus, on a port of their own that only the private network reaches.

Labels are few and bounded: a route is its template (`/orders/{order_id}`), never a path, and an
unknown path counts as `unmatched`, so that a scanner cannot fill the memory with series.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

PORT = 9100

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_GATEWAY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

HTTP_REQUESTS = Counter(
    "http_requests_total", "Answered requests.", ("method", "route", "status"), registry=REGISTRY
)
HTTP_DURATION = Histogram(
    "http_request_duration_seconds",
    "Time from the request's first byte to the answer's last.",
    ("method", "route"),
    buckets=_REQUEST_BUCKETS,
    registry=REGISTRY,
)
HTTP_IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered now.", registry=REGISTRY)
PAYMENT_ATTEMPTS = Counter(
    "payment_attempts_total",
    "Steps of payments by what came of them.",
    ("gateway", "operation", "outcome"),
    registry=REGISTRY,
)
PAYMENT_DURATION = Histogram(
    "payment_duration_seconds",
    "Time of one step of a payment, the gateway's answer included, by what came of it.",
    ("gateway", "operation", "outcome"),
    buckets=_GATEWAY_BUCKETS,
    registry=REGISTRY,
)
WEBHOOKS_RECEIVED = Counter(
    "webhooks_received_total",
    "Deliveries of gateways by what became of them when they came.",
    ("gateway", "outcome"),
    registry=REGISTRY,
)
WEBHOOKS_OUT = Counter(
    "webhooks_out_total", "Attempts to tell the API's clients.", ("outcome",), registry=REGISTRY
)
LOG_INS = Counter("log_ins_total", "Attempts to log in.", ("outcome",), registry=REGISTRY)
BUILD = Gauge("build_info", "The running release, always 1.", ("release",), registry=REGISTRY)


class Attempt:
    """What became of one step of a payment; `unknown` until somebody says."""

    def __init__(self) -> None:
        self.outcome = "unknown"


@contextmanager
def payment_attempt(gateway: str, operation: str) -> Iterator[Attempt]:
    """Count and time one step of a payment, as the context manager around it.

    Set `attempt.outcome` (`succeeded`, `declined`, …; a small fixed set). An exception counts as
    `failed` unless the block had already said otherwise.
    """
    attempt, started = Attempt(), time.perf_counter()
    try:
        yield attempt
    except BaseException:
        if attempt.outcome == "unknown":
            attempt.outcome = "failed"
        raise
    finally:
        labels = (gateway, operation, attempt.outcome)
        PAYMENT_ATTEMPTS.labels(*labels).inc()
        PAYMENT_DURATION.labels(*labels).observe(time.perf_counter() - started)


def serve(port: int = PORT, host: str = "0.0.0.0") -> tuple[WSGIServer, Thread]:  # noqa: S104
    """Answer GET /metrics in a thread. All addresses: the container publishes no port.

    A scrape must not wait behind payments nor slow them; the thread reads counters only.
    """
    return start_http_server(port, addr=host, registry=REGISTRY)
