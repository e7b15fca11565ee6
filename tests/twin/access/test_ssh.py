"""SSH through Access: a program's token opens the stream, and nothing else does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.twin.access.team import Team, deployed, run
from tests.twin.edge.harness import TUNNEL_ID
from twin.access.ssh import TOKEN_ID, TOKEN_SECRET
from twin.edge.routes import CONFIG, RECORD

HOST = "ssh.payments.localhost"


async def _server() -> asyncio.Server:
    """Greets as sshd does, and says everything again."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-Test\r\n")
        while piece := await reader.read(65536):
            writer.write(piece)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def _route(team: Team, port: int) -> None:
    store = team.site.store
    known = store.get(CONFIG, TUNNEL_ID)
    assert known is not None
    outputs = dict(known.outputs)
    rule = {"hostname": HOST, "service": f"ssh://127.0.0.1:{port}"}
    outputs["config"] = {"ingresses": [rule, *outputs["config"]["ingresses"]]}
    store.put(CONFIG, TUNNEL_ID, {}, outputs)
    record = {"zoneId": "a" * 32, "type": "CNAME", "proxied": True, "name": HOST}
    store.put(RECORD, "r2", {}, {**record, "content": f"{TUNNEL_ID}.cfargotunnel.com"})
    app = {"name": "ssh", "type": "ssh", "domain": HOST, "policies": [{"id": team.ids["programs"]}]}
    account = team.handlers.ctx.account["cloudflare"]["accounts"][0]["id"]
    team.handlers.create("ZeroTrustAccessApplication", {"accountId": account, **app})


async def _client(team: Team, sent: bytes, **environment: str) -> tuple[int, bytes, str]:
    """Run the stand-in for `cloudflared access ssh`; returns its code and what it wrote."""
    about = {"ca_file": str(team.site.home / "ca.pem"), "https_port": team.site.edge.port}
    (team.site.home / "twin.json").write_text(json.dumps(about))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "twin.access.ssh",
        str(team.site.home),
        HOST,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(sent)
    expected = len(b"SSH-2.0-Test\r\n") + len(sent)
    told = b""
    while len(told) < expected and (piece := await process.stdout.read(65536)):
        told += piece
    process.stdin.close()
    said = (await process.stderr.read()).decode()
    return await process.wait(), told, said


def test_ssh_goes_through_the_tunnel_with_a_token_and_not_without(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with deployed(tmp_path) as team:
            server = await _server()
            _route(team, server.sockets[0].getsockname()[1])
            right = {
                TOKEN_ID: team.token["clientId"],
                TOKEN_SECRET: team.token["clientSecret"],
            }
            large = os.urandom(300_000)
            code, told, said = await _client(team, large, **right)
            assert told == b"SSH-2.0-Test\r\n" + large
            assert (code, said) == (0, "")
            code, told, said = await _client(team, b"", **{**right, TOKEN_SECRET: "guess"})
            assert (code, told) == (1, b"")
            assert "401" in said
            code, _, said = await _client(team, b"")
            assert code == 1
            assert TOKEN_ID in said, "the remedy is named"
            async with team.browser() as browser:
                headers = [*team.with_token().items()]
                url = f"https://{HOST}:{team.site.edge.port}/"
                answer = await browser.client.get(url, headers=headers)
                assert answer.status == 502, "it does not speak HTTP"
            server.close()

    run(scenario())
