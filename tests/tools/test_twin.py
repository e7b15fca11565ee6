"""The twin is a small script here that behaves as `python -m twin serve` does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.tools.conftest import Screen
from tools import process, sweep, twin
from tools.bootstrap import Environment
from tools.errors import ToolError
from tools.paths import Home
from twin import ports
from twin.places import own_image

_SERVES = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
arguments = sys.argv[1:]
home = Path(arguments[arguments.index("--home") + 1])
class Door(BaseHTTPRequestHandler):
    def do_GET(self): self.answer({"resources": {}, "machines": {"notes": ["no nested engine"]}})
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer({"removed": body.get("keep", [])})
    def answer(self, value):
        good = self.headers["Authorization"] == "Bearer t"
        body = json.dumps(value if good else {"error": "no"}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = HTTPServer(("127.0.0.1", 0), Door)
url = f"http://127.0.0.1:{server.server_port}"
about = {"pid": os.getpid(), "admin": {"url": url, "token": "t"},
         "providers": {"random": 7, "docker": 8}, "https_port": 1, "mode": "paper"}
(home / "twin.json").write_text(json.dumps(about))
server.serve_forever()
"""


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Use a script as the twin; `serve(body)`."""

    def use(body: str) -> None:
        script = tmp_path / "twin.py"
        script.write_text(body)
        python = tmp_path / "python"
        # Started as `python -m twin serve …`: drop the -m, keep the words that it is found by.
        python.write_text(f'#!/bin/sh\nshift\nexec "{sys.executable}" "{script}" "$@"\n')
        python.chmod(0o755)
        folder = tmp_path / "venv" / "bin"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "python").unlink(missing_ok=True)
        (folder / "python").symlink_to(python)
        environment = Environment(name="infra", folder=tmp_path / "venv", lock=tmp_path)
        monkeypatch.setattr(twin, "environments", lambda root: {"infra": environment})

    return use


@pytest.fixture
def stopped(home: Home) -> Iterator[Home]:
    yield home
    twin.stop(home, lambda text: None)


def test_a_twin_is_started_once_and_found_again(
    serve: Any, stopped: Home, notes: list[str]
) -> None:
    serve(_SERVES)
    port = ports.first_free(20_000)
    first = twin.ensure(stopped, port, notes.append)
    assert first.debug_providers == "random:7,docker:8"
    assert first.status()["machines"]["notes"] == ["no nested engine"]
    assert first.collect([("random:index/randomId:RandomId", "x")])["removed"] == [
        ["random:index/randomId:RandomId", "x"]
    ]
    assert twin.ensure(stopped, port, notes.append).pid == first.pid
    moved = twin.ensure(stopped, ports.first_free(port + 1), notes.append)
    assert moved.pid != first.pid, "another port is another twin"
    assert not process.is_running(first.pid)


def test_a_killed_twin_is_not_taken_for_a_running_one(
    serve: Any, stopped: Home, notes: list[str]
) -> None:
    serve(_SERVES)
    port = ports.first_free(20_000)
    first = twin.ensure(stopped, port, notes.append)
    process.terminate(first.pid, grace=0)
    assert stopped.twin_json.exists()
    assert twin.find(stopped) is None
    assert twin.ensure(stopped, port, notes.append).pid != first.pid


def test_a_reused_process_number_is_not_a_twin(home: Home) -> None:
    about = {"pid": 1, "admin": {}, "providers": {}}
    home.twin_json.write_text(json.dumps(about))
    assert twin.find(home) is None
    home.twin_json.write_text('{"half')
    assert twin.find(home) is None


def test_a_twin_that_does_not_start_shows_its_last_words(
    serve: Any, stopped: Home, notes: list[str]
) -> None:
    serve("import sys; sys.exit('twin: the zone of account.json has no id')")
    with pytest.raises(ToolError, match="The twin did not start") as caught:
        twin.ensure(stopped, ports.first_free(20_000), notes.append)
    assert "the zone of account.json has no id" in caught.value.details
    assert "twin.log" in caught.value.remedy


def test_a_twin_that_never_gets_ready_is_stopped(
    serve: Any, stopped: Home, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("import time; print('waiting for the engine', flush=True); time.sleep(60)")
    monkeypatch.setattr(twin, "_READY_SECONDS", 1.0)
    with pytest.raises(ToolError, match="not ready within"):
        twin.ensure(stopped, ports.first_free(20_000), notes.append)
    assert "waiting for the engine" in notes, "a long wait says what it waits for"
    assert twin.processes(stopped) == []


def test_a_taken_port_names_who_has_it_and_a_free_one(home: Home, notes: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ToolError) as caught:
            twin.ensure(home, port, notes.append)
    assert f"Port {port} is taken by " in caught.value.message
    assert f"(process {os.getpid()})" in caught.value.message
    assert "pytest" in caught.value.message, "python alone could be anything"
    assert "make up PORT=" in caught.value.remedy


def test_a_stop_ends_a_twin_that_never_wrote_its_file(home: Home, notes: list[str]) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "twin", "serve", "--home", home.path]
    )
    try:
        deadline = time.monotonic() + 5
        while twin.processes(home) != [child.pid] and time.monotonic() < deadline:
            time.sleep(0.05)  # forked, and not yet the program it becomes
        assert twin.processes(home) == [child.pid]
        twin.stop(home, notes.append)
        assert child.wait(5) != 0
    finally:
        child.kill()


def test_a_changed_source_is_another_twin(tmp_path: Path) -> None:
    (tmp_path / "twin" / "__pycache__").mkdir(parents=True)
    (tmp_path / "twin" / "a.py").write_text("1")
    before = twin.source_digest(tmp_path)
    (tmp_path / "twin" / "__pycache__" / "a.pyc").write_text("x")
    assert twin.source_digest(tmp_path) == before
    (tmp_path / "twin" / "a.py").write_text("2")
    assert twin.source_digest(tmp_path) != before


# --- what is left on the machine ------------------------------------------------------------------


def test_only_the_instance_s_own_processes_are_ended(home: Home, screen: Screen) -> None:
    sleep = "import time; time.sleep(60)"
    ours = subprocess.Popen([sys.executable, "-c", sleep, f"{home.run_dir}/ssh/abc"])
    neighbour = subprocess.Popen([sys.executable, "-c", sleep, f"{home.path}-other/x"])
    editor = subprocess.Popen(["tail", "-f", "/dev/null", "--", f"{home.path}/logs/twin.log"],
                              stderr=subprocess.DEVNULL)  # fmt: skip
    try:
        time.sleep(0.2)
        sweep.processes(home, screen.ui.say)
        assert ours.wait(5) != 0
        assert neighbour.poll() is None, "a folder whose name begins alike is somebody else's"
        assert editor.poll() is None, "a person who reads a log is left alone"
    finally:
        for child in (ours, neighbour, editor):
            child.kill()
            child.wait()


class _Thing:
    def __init__(self, name: str, gone: list[str], *, stuck: bool = False) -> None:
        self.name, self._gone, self._stuck = name, gone, stuck

    def remove(self, **_: object) -> None:
        from docker.errors import APIError

        if self._stuck:
            raise APIError("device is busy")
        self._gone.append(self.name)


class _Things:
    def __init__(self, *things: _Thing) -> None:
        self._things = things
        self.filters: list[object] = []

    def list(self, **options: object) -> list[_Thing]:
        self.filters.append(options["filters"])
        return list(self._things)


def test_one_thing_that_cannot_be_removed_does_not_keep_the_rest(home: Home) -> None:
    gone: list[str] = []

    class Client:
        containers = _Things(_Thing("c1", gone, stuck=True), _Thing("c2", gone))
        networks = _Things(_Thing("n1", gone))
        volumes = _Things(_Thing("v1", gone))

    failed = sweep.docker_objects(Client(), home, lambda text: None)
    assert gone == ["c2", "n1", "v1"]
    assert failed == ["container c1: device is busy"]
    assert Client.volumes.filters == [{"label": f"payments.twin={home.instance}"}], (
        "nothing without the instance's label may be touched"
    )


class _Images:
    """An engine with a registry of the instance and these images."""

    def __init__(self, instance: str, *images: tuple[str, list[str]]) -> None:
        self.containers = self.images = self
        self._instance = instance
        self._images = [SimpleNamespace(id=id, tags=tags) for id, tags in images]
        self.removed: list[str] = []

    def get(self, name: str) -> SimpleNamespace:
        assert name == f"{self._instance}-registry"
        bindings = {"5001/tcp": [{"HostPort": "5123"}]}
        return SimpleNamespace(attrs={"HostConfig": {"PortBindings": bindings}})

    def list(self, filters: dict[str, object] | None = None) -> list[SimpleNamespace]:
        if filters is None:
            return self._images
        assert filters == {"label": f"payments.twin={self._instance}", "dangling": True}
        return [SimpleNamespace(id="nameless", tags=[])]

    def remove(self, name: str) -> None:
        from docker.errors import APIError

        if name.endswith("/used"):
            raise APIError("conflict: image is being used by running container")
        self.removed.append(name)


def test_only_images_of_this_instance_s_registry_are_removed(home: Home) -> None:
    client = _Images(
        home.instance,
        ("1", ["127.0.0.1:5123/payments:development", "keep:me"]),
        ("2", ["127.0.0.1:6000/payments:development"]),
        ("3", ["nginx:1.28"]),
        ("5", ["127.0.0.1:5123/used"]),
        ("4", [own_image(home.instance, "cloudflare/cloudflared:1")]),
    )
    sweep.own_images(client, home, sweep.image_prefixes(client, home))
    assert client.removed == [
        "127.0.0.1:5123/payments:development",
        own_image(home.instance, "cloudflare/cloudflared:1"),
        "nameless",
    ], "and one that is in use stays, which is no failure"
