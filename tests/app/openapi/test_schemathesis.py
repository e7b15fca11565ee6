"""Schemathesis over the whole API, over HTTP, on the process as it is deployed: all checks.

As a person with a token, and as a program with a key that has every scope. The default run is
short; `stress` asks longer.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from payments.api_keys.service import SCOPES
from tests.app.backends import Cluster
from tests.app.pages.served import free_port
from tests.app.people.site import PASSWORD
from tests.app.processes import environment, running, wait_until_well
from tests.app.stripe_server import serve

ROOMY = (
    '[{"name":"api","methods":null,"paths":[],"prefixes":["/api/"],'
    '"requests":100000,"period":1,"block":0}]'
)
"""A limit that is never reached, so that every answer has the fields that tell of it."""

LOG_OUT = "/api/v1/auth/logout"
"""Asked last and alone: it ends what everything else is asked with."""


@dataclass(frozen=True)
class Api:
    """The running process, and what its callers present."""

    url: str
    token: str
    key: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(
    postgres: Cluster, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Api]:
    """The api, a customer who is logged in, and a key of theirs."""
    port = free_port()
    async with serve() as stripe:
        with postgres.database() as database:
            env = environment(
                postgres, database, redis_url,
                PAYMENTS_PORT=str(port),
                PAYMENTS_RUN_DIR=str(tmp_path_factory.mktemp("run")),
                PAYMENTS_STRIPE_API_BASE=stripe.url,
                PAYMENTS_RATE_LIMITS=ROOMY,
            )  # fmt: skip
            log = tmp_path_factory.mktemp("log") / "api.log"
            with running("api", env, log=log) as process:
                await asyncio.to_thread(wait_until_well, env, process)
                yield await _customer(f"http://127.0.0.1:{port}")
                lines = log.read_text().splitlines()
    assert not [line for line in lines if "request.failed" in line], "an error nobody thought of"


async def _customer(url: str) -> Api:
    who = {"email": "schemathesis@example.com", "password": PASSWORD}
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.post("/api/v1/register", json=who)).status_code == 202
        answer = await client.post("/api/v1/auth/login", json=who)
        token = answer.json()["access_token"]
        made = await client.post(
            "/api/v1/api-keys",
            json={"name": "schemathesis", "scopes": list(SCOPES)},
            headers={"Authorization": f"Bearer {token}"},
        )
        assert made.status_code == 201, made.text
    return Api(url=url, token=token, key=made.json()["secret"])


async def _run(api: Api, presented: str, *options: str, seconds: int) -> None:
    """Run Schemathesis; every failure it reports is the test's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "schemathesis.cli",
        "--config-file", str(Path(__file__).with_name("schemathesis.toml")),
        "run", f"{api.url}/api/openapi.json",
        "--url", api.url,
        "--checks", "all",
        "--seed", "5",
        "--suppress-health-check", "all",
        "--warnings", "off",
        "--no-color",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={
            **os.environ,
            "PRESENTED": presented,
            "SCHEMATHESIS_HOOKS": "tests.app.openapi.checks",
        },
        cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()[-12_000:]


async def test_the_api_does_what_its_document_says_for_a_person(api: Api) -> None:
    await _run(
        api, api.token,
        "--exclude-path", LOG_OUT, "--phases", "examples,coverage,stateful", "--max-examples", "3",
        seconds=100,
    )  # fmt: skip


async def test_the_api_does_what_its_document_says_for_a_program(api: Api) -> None:
    await _run(
        api, api.key,
        "--exclude-path", LOG_OUT, "--phases", "examples,fuzzing", "--max-examples", "4",
        seconds=100,
    )  # fmt: skip


@pytest.mark.stress
@pytest.mark.timeout(1500)
async def test_the_api_does_what_its_document_says_however_long_one_asks(api: Api) -> None:
    for presented in (api.token, api.key):
        await _run(
            api, presented, "--exclude-path", LOG_OUT, "--max-examples", "60", seconds=700
        )  # fmt: skip


async def test_logging_out_does_what_the_document_says(api: Api) -> None:
    await _run(api, api.token, "--include-path", LOG_OUT, "--max-examples", "3", seconds=60)
