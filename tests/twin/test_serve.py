"""The twin as a process: ready file, one per home, ports, signals, its own door."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from twin import places
from twin.store import Store

VPC = "digitalocean:index/vpc:Vpc"
ROOT = Path(__file__).parents[2]


class Twin:
    def __init__(self, home: Path, *args: str) -> None:
        home.mkdir(exist_ok=True)
        (home / "account.json").write_text(json.dumps({"digitalocean": {"token": "x"}}))
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "twin", "serve", "--home", str(home), *args],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )

    def about(self) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (self.home / "twin.json").exists():
                found: dict[str, Any] = json.loads((self.home / "twin.json").read_text())
                return found
            assert self.process.poll() is None, self.process.communicate()[1]
            time.sleep(0.05)
        raise AssertionError("the twin was not ready within a minute")

    def ask(self, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        admin = self.about()["admin"]
        connection = HTTPConnection(admin["url"].removeprefix("http://"), timeout=20)
        with contextlib.closing(connection):
            connection.request(
                "GET" if body is None else "POST",
                path,
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Bearer {token or admin['token']}"},
            )
            answer = connection.getresponse()
            return answer.status, json.load(answer)

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.process.wait(30), self.process.communicate()[1]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home of a twin"


def test_one_twin_serves_a_home_and_stops_cleanly(home: Path) -> None:
    twin = Twin(home, "--paper")
    about = twin.about()
    assert stat.S_IMODE((home / "twin.json").stat().st_mode) == 0o600, "it holds a token"
    assert about["mode"] == "paper"
    packages = {"digitalocean", "cloudflare", "docker", "random", "tls", "command"}
    assert set(about["providers"]) == packages
    assert about["pid"] == twin.process.pid
    assert about["instance"] == places.instance_name(home)
    assert Path(about["ca_file"]).read_text().startswith("-----BEGIN CERTIFICATE")

    assert twin.ask("/status", token="another")[0] == 401
    status, found = twin.ask("/status")
    assert (status, found["resources"]) == (200, {})

    second = Twin(home, "--paper")
    assert second.process.wait(30) == places.ALREADY_RUNNING
    assert f"process {about['pid']}" in second.process.communicate()[1]

    code, said = twin.end()
    assert code == 0, said
    assert not (home / "twin.json").exists()
    assert not Path(about["run_dir"]).exists(), "a twin on paper leaves nothing outside its home"


def test_what_an_engine_does_not_know_is_collected_after_a_kill(home: Path) -> None:
    twin = Twin(home, "--paper")
    twin.about()
    store = Store(home / "twin.db")
    for id in ("kept", "orphan"):
        store.put(VPC, id, {"name": id, "region": "fra1"}, {"name": id, "ipRange": "10.0.0.0/24"})
    droplet = {"host": "ssh://deploy@203.0.113.9"}
    store.put("docker:index/container:Container", "c", {}, {"name": "c"})
    store.save("protocol.made-with", "docker:index/container:Container c", droplet)
    assert twin.ask("/status")[1]["resources"] == {VPC: 2}, "it went with its droplet"
    twin.process.kill()
    twin.process.wait()
    assert (home / "twin.json").exists(), "a killed twin cannot tidy up"

    (home / "twin.json").unlink()
    again = Twin(home, "--paper")
    status, done = again.ask("/collect", {"keep": [[VPC, "kept"]]})
    assert status == 200, done
    gone = [[VPC, "orphan"], ["docker:index/container:Container", "c"]]
    assert sorted(done["removed"]) == gone
    assert [record.id for record in store.all()] == ["kept"]
    assert again.ask("/collect", {"kept": []})[0] == 400
    assert again.ask("/destroy-all", {})[1]["removed"] == [[VPC, "kept"]]
    assert again.end(signal.SIGINT)[0] == 0
    store.close()


def test_a_taken_port_is_told_with_its_holder(home: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        twin = Twin(home, "--https-port", str(port))
        assert twin.process.wait(30) == places.PORT_TAKEN
        said = twin.process.communicate()[1]
    assert f"port {port} is taken by" in said
    assert f"process {os.getpid()}" in said


@pytest.mark.parametrize(
    ("account", "reason"),
    [(None, "is missing"), ("{", "is not JSON"), ("[]", "must hold a JSON object")],
)
def test_a_home_without_accounts_is_refused(
    home: Path, account: str | None, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    home.mkdir()
    if account is not None:
        (home / "account.json").write_text(account)
    done = subprocess.run(
        [sys.executable, "-m", "twin", "serve", "--home", str(home), "--paper"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
