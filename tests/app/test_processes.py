"""api and worker as processes: ready soon, drained on SIGTERM, killed without loss."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from pathlib import Path

import psycopg
import pytest

from tests.app.backends import APP, Cluster
from tests.app.processes import command, environment, running, wait_until_well


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number


def test_the_api_drains_on_sigterm_and_ends_well(
    postgres: Cluster, database_name: str, redis_url: str, port: int, tmp_path: Path
) -> None:
    env = environment(
        postgres, database_name, redis_url,
        PAYMENTS_PORT=str(port), PAYMENTS_RUN_DIR=str(tmp_path),
    )  # fmt: skip
    with running("api", env) as process:
        wait_until_well(env, process)
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        kept.request("GET", "/api/v1/products")
        assert kept.getresponse().read()
        # A request that is on its way: its head is sent, its body is not.
        slow = socket.create_connection(("127.0.0.1", port), 5)
        body = b'{"x": 1}'
        slow.sendall(
            b"POST /webhooks/stripe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n" % len(body)
        )
        time.sleep(0.3)

        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        for connection in (kept, http.client.HTTPConnection("127.0.0.1", port, timeout=5)):
            connection.request("GET", "/api/v1/products")
            refused = connection.getresponse()
            assert refused.status == 503
            assert refused.headers["connection"] == "close"
            refused.read()
        assert command("probe", env).returncode == 1, "a replica that leaves is not ready"
        slow.sendall(body)
        answer = slow.recv(4000)
        assert answer.startswith(b"HTTP/1.1 400"), "what was running got its own answer"
        assert process.wait(15) == 0


def test_the_worker_runs_jobs_beats_and_stops(
    postgres: Cluster, database_name: str, redis_url: str, tmp_path: Path
) -> None:
    env = environment(postgres, database_name, redis_url, PAYMENTS_RUN_DIR=str(tmp_path))
    with postgres.connect(APP, database_name, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO payments.webhook_inbox (provider, account, event_key, event_type, event,"
            " state, next_attempt_at) VALUES ('stripe', 'default', 'evt_1', 'x', %s, 'parked',"
            " now()) RETURNING id",
            (
                '{"gateway": "stripe", "account": "default", "key": "evt_1", "type": "x",'
                ' "kind": "ignored", "created": 1, "payment_id": null, "checkout_ref": null,'
                ' "payment_ref": null, "amount": null, "currency": null}',
            ),
        ).fetchone()
        assert row is not None
        connection.execute(
            "SELECT payments.procrastinate_defer_jobs_v1(ARRAY[ROW('payments', 'inbox.process', 0,"
            " NULL, NULL, jsonb_build_object('inbox_id', %s::bigint), NULL)"
            "::payments.procrastinate_job_to_defer_v1])",
            (row[0],),
        )
        with running("worker", env) as process:
            wait_until_well(env, process)
            _wait_for(connection, "SELECT state = 'ignored' FROM payments.webhook_inbox")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == [], "a heartbeat that stays would look like life"


def _wait_for(connection: psycopg.Connection[tuple[object, ...]], query: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        row = connection.execute(query).fetchone()
        if row is not None and row[0]:
            return
        assert time.monotonic() < deadline, "the job did not run"
        time.sleep(0.1)
