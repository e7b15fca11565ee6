"""The connector's command line, its package and its image."""

from __future__ import annotations

import ast
import asyncio
import io
import ipaddress
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.twin.edge.harness import free_port, run, running, token
from twin.edge import image
from twin.edge.connector.__main__ import address, checked_token, parser, seconds

PACKAGE = Path(image.__file__).parent / "connector"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "twin.edge.connector", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env=environment or None,
        check=False,
    )


def test_it_imports_nothing_but_the_standard_library() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_the_image_holds_the_whole_package_and_this_twins_authority() -> None:
    with tarfile.open(fileobj=io.BytesIO(image._context("-----CA-----"))) as archive:
        names = set(archive.getnames())
        authority = archive.extractfile("ca.pem")
        assert authority is not None
        assert authority.read() == b"-----CA-----"
        assert archive.getmember("cloudflared").mode & 0o111
    modules = {f"connector/{path.name}" for path in PACKAGE.glob("*.py")}
    assert names == modules | {"Dockerfile", "ca.pem", "cloudflared"}
    assert image._context("a") == image._context("a"), "the same content must not be built twice"
    assert image._context("a") != image._context("b")


def test_it_says_its_version() -> None:
    for arguments in (["--version"], ["version"]):
        told = command(*arguments)
        assert told.returncode == 0
        assert told.stdout.startswith("cloudflared version 2026.10.0")


def test_without_a_usable_token_it_ends_with_a_reason() -> None:
    missing = command("tunnel", "--no-autoupdate", "run", PATH="/usr/bin")
    assert missing.returncode == 1
    assert "TUNNEL_TOKEN" in missing.stderr
    wrong = command("tunnel", "run", "--token", "bm90IGpzb24=")
    assert wrong.returncode == 1
    assert "token is not valid" in wrong.stderr


def test_without_the_authority_it_does_not_start(tmp_path: Path) -> None:
    told = command("tunnel", "--cacert", str(tmp_path / "none"), "run", "--token", token())
    assert told.returncode == 1
    assert "certificate cannot be checked" in told.stderr


def test_options_may_stand_before_and_after_the_verb() -> None:
    before = parser().parse_args(["tunnel", "--metrics", ":2000", "--no-autoupdate", "run"])
    after = parser().parse_args(["tunnel", "run", "--metrics", ":2000", "--token", "x"])
    assert before.metrics == after.metrics == ":2000"
    assert after.token == "x"


@pytest.mark.parametrize(
    ("text", "wanted"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("45", 45)]
)
def test_durations_read_as_the_original_reads_them(text: str, wanted: float) -> None:
    assert seconds(text) == wanted


@pytest.mark.parametrize("text", ["", "s", "10x", "1m-3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="duration"):
        seconds(text)


def test_addresses() -> None:
    assert address("127.0.0.1:20") == ("127.0.0.1", 20)
    assert address(":20")[0] == str(ipaddress.IPv4Address(0)), "no host means every address"
    assert address("[::1]:20") == ("::1", 20)
    with pytest.raises(SystemExit):
        address("localhost")


def test_a_good_token_is_taken_as_it_is() -> None:
    assert checked_token(token()) == token()


def test_ready_tells_whether_a_connection_stands(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            assert (
                command("tunnel", "--metrics", f"127.0.0.1:{free_port()}", "ready").returncode == 1
            )
            connector = await site.connector(token(), ready=False)  # no tunnel is deployed
            code, _ = await connector.ended()
            assert code == 1
            await site.origin(None)  # type: ignore[arg-type]
            connector = await site.connector()
            told = await asyncio.to_thread(
                command, "tunnel", "--metrics", f"127.0.0.1:{connector.metrics}", "ready"
            )
            assert told.returncode == 0

    run(scenario())


def test_an_edge_with_another_authority_is_not_trusted(tmp_path: Path) -> None:
    async def scenario() -> None:
        other = tmp_path / "other"
        async with running(tmp_path / "home") as site, running(other):
            await site.origin(None)  # type: ignore[arg-type]
            site.home = other
            connector = await site.connector(ready=False)
            await asyncio.sleep(0.6)
            assert not await connector.ready()
            connector.process.kill()
            _, told = await connector.ended()
            assert "certificate verify failed" in told

    run(scenario())
