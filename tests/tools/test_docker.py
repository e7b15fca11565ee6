from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.errors import DockerException, ImageNotFound

from tests.tools.conftest import Fake
from tools import docker, images, process, system
from tools.errors import ToolError
from tools.images import base


class Report:
    """Remembers what was said and noted."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.noted: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def note(self, text: str) -> None:
        self.noted.append(text)


@pytest.fixture
def report() -> Report:
    return Report()


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, fake: Fake) -> Fake:
    """A machine without an engine, used by somebody who is not root, on Debian 13."""
    fake("apt-get", "exit 1")
    monkeypatch.setattr(docker, "_client", lambda: None)
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(system, "runs_systemd", lambda: True)
    debian = system.Distribution(id="debian", version="13", uses_apt=True)
    monkeypatch.setattr(system, "distribution", lambda: debian)
    monkeypatch.setenv("HOME", "/nonexistent")
    return fake


def test_without_docker_and_without_root_the_exact_commands_are_named(
    person: Fake, report: Report
) -> None:
    with pytest.raises(ToolError) as caught:
        docker.ensure(report)
    assert caught.value.message == "No Docker engine is installed, and only root may install one."
    first, second = caught.value.remedy.splitlines()
    assert first == "sudo apt-get install -y docker.io docker-cli"
    assert second.startswith("sudo usermod -aG docker")


def test_an_engine_that_is_installed_but_stopped_is_to_be_started(
    person: Fake, report: Report
) -> None:
    person("dockerd", "exit 0")
    with pytest.raises(ToolError) as caught:
        docker.ensure(report)
    assert caught.value.remedy == "sudo systemctl start docker"


def test_an_engine_that_was_named_is_not_replaced_by_another(
    person: Fake, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    with pytest.raises(ToolError, match="ssh://elsewhere"):
        docker.ensure(report)


def test_who_is_not_in_the_group_is_told_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    def denied(**_: object) -> None:
        raise DockerException("Error while fetching: PermissionError(13, 'Permission denied')")

    monkeypatch.setattr(docker.docker, "from_env", denied)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ToolError) as caught:
        docker.ensure(report)
    assert 'sudo usermod -aG docker "$USER"' in caught.value.remedy


def test_the_context_of_the_command_line_is_followed(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "colima"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    fake("docker", '[ "$3" = colima ] && echo unix:///tmp/colima.sock')
    docker._follow_context()
    assert os.environ.pop("DOCKER_HOST") == "unix:///tmp/colima.sock"


class _Client:
    """An engine that answers, with these containers running."""

    def __init__(self, *containers: str) -> None:
        self.containers = self
        self._running = containers

    def list(self) -> list[str]:
        return list(self._running)

    def version(self) -> dict[str, str]:
        return {"Version": "20.10.24", "ApiVersion": "1.41"}


def test_root_gets_an_engine_installed_and_started_and_is_told(
    person: Fake, report: Report, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "runs_systemd", lambda: False)
    socket = tmp_path / "docker.sock"
    monkeypatch.setattr(docker, "_DEFAULT_SOCKET", socket)
    monkeypatch.setattr(docker, "_client", lambda: _Client() if socket.exists() else None)
    monkeypatch.setattr(docker, "_answers", _quick(docker._answers))
    bin_folder = os.environ["PATH"]
    person(
        "apt-get",
        f'[ "$4" = install ] && printf "#!/bin/sh\\ntouch {socket}\\nexec sleep 60\\n" '
        f"> {bin_folder}/dockerd && chmod +x {bin_folder}/dockerd",
    )
    assert docker.ensure(report).version()["Version"] == "20.10.24"
    assert report.said[0].startswith("installing docker.io docker-cli from the distribution")
    assert "dockerd as a process" in report.said[1]
    pid = json.loads((cache / "dockerd.json").read_text())["pid"]
    assert process.is_running(pid)
    monkeypatch.setattr(process, "command_line", lambda pid: "dockerd")
    monkeypatch.setattr(docker, "_client", lambda: _Client("somebody's"))
    docker.stop_ours(report)
    assert process.is_running(pid), "other people's containers run on it"
    monkeypatch.setattr(docker, "_client", lambda: _Client())
    with docker.kept():
        docker.stop_ours(report)
        assert process.is_running(pid), "a `make down` inside `make e2e` must not stop it"
    docker.stop_ours(report)
    assert not process.is_running(pid), "what we started for this ends with this"


def _quick(answers: Any) -> Any:
    def quick(report: Report, *, seconds: float, pid: int = 0) -> bool:
        return bool(answers(report, seconds=min(seconds, 0.5 if not pid else 5.0), pid=pid))

    return quick


def test_an_engine_that_does_not_start_shows_its_last_words(
    person: Fake, report: Report, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "is_root", lambda: True)
    monkeypatch.setattr(system, "runs_systemd", lambda: False)
    monkeypatch.setattr(docker, "_answers", _quick(docker._answers))
    monkeypatch.setattr(docker, "_DEFAULT_SOCKET", Path("/nonexistent/docker.sock"))
    person("dockerd", "echo 'failed to create NAT chain: iptables not found' >&2; exit 1")
    with pytest.raises(ToolError, match="does not start here") as caught:
        docker.ensure(report)
    assert "iptables not found" in caught.value.details


# --- images ---------------------------------------------------------------------------------------


class _Image:
    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels


class _Registry:
    """The image side of an engine: what it has, and how its registry behaves."""

    def __init__(self, present: set[str], pull: Any = None) -> None:
        self.present = present
        self.labels: dict[str, dict[str, str]] = {}
        self.images = self
        self.api = self
        self.built: list[str] = []
        self.closed = threading.Event()
        self._pull = pull

    def get(self, tag: str) -> _Image:
        if tag not in self.present:
            raise ImageNotFound(tag)
        return _Image(self.labels.get(tag, {}))

    def pull(self, name: str, tag: str, **_: object) -> Iterator[dict[str, str]]:
        yield from self._pull(self, f"{name}:{tag}")

    def build(self, tag: str, **options: Any) -> Iterator[dict[str, str]]:
        self.present.add(tag)
        self.built.append(tag)
        self.labels[tag] = options.get("labels", {})
        yield {"stream": "Step 1/1"}

    def close(self) -> None:
        self.closed.set()


def _answers(registry: _Registry, tag: str) -> Iterator[dict[str, str]]:
    registry.present.add(tag)
    yield {"status": "Pulling"}


def _refuses(registry: _Registry, tag: str) -> Iterator[dict[str, str]]:
    yield {"error": "dial tcp: lookup registry: no such host"}


def _is_silent(registry: _Registry, tag: str) -> Iterator[dict[str, str]]:
    registry.closed.wait(10)
    yield from ()


@pytest.fixture(autouse=True)
def _no_mmdebstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(client: _Registry, tag: str, labels: dict[str, str], report: Report) -> None:
        list(client.build(tag, labels=labels))

    monkeypatch.setattr(base, "build", build)


def test_images_that_are_there_are_used(report: Report, cache: Path) -> None:
    registry = _Registry({images.BASE, *images.STAND_INS})
    assert str(images.ensure_bases(registry, report)) == "5 present"
    assert report.said == []


def test_a_registry_that_answers_is_used(report: Report, cache: Path) -> None:
    registry = _Registry({images.BASE}, _answers)
    outcome = images.ensure_bases(registry, report)
    assert (outcome.present, outcome.pulled, outcome.stand_ins) == (1, 4, 0)


def test_where_no_registry_answers_stand_ins_are_built_and_it_says_so(
    report: Report, cache: Path
) -> None:
    registry = _Registry(set(), _refuses)
    outcome = images.ensure_bases(registry, report)
    assert outcome.stand_ins == 5
    assert registry.built[0] == images.BASE, "everything else stands on it"
    assert set(registry.built[1:]) == set(images.STAND_INS)
    assert report.said[0].startswith("no image registry answers (the network does not answer)")


def test_a_stand_in_whose_recipe_changed_is_built_again(
    report: Report, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = _Registry(set(), _refuses)
    images.ensure_bases(registry, report)
    assert str(images.ensure_bases(registry, report)) == "5 present"
    registry.labels["nginx:1.28"]["payments.stand-in.recipe"] = "an older one"
    registry.built.clear()
    images.ensure_bases(registry, report)
    assert registry.built == ["nginx:1.28"]


def test_a_registry_that_says_nothing_is_not_waited_for_twice(
    report: Report, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_FIRST_ANSWER_SECONDS", 0.5)
    registry = _Registry(set(), _is_silent)
    started = time.monotonic()
    images.ensure_bases(registry, report)
    assert time.monotonic() - started < 3, "one short wait, not one for each image"
    assert registry.closed.is_set(), "the engine would go on pulling in the background"
    again = _Registry(set(), _answers)
    assert images.ensure_bases(again, report).pulled == 0, "it is remembered for a while"


def test_a_build_that_fails_shows_its_last_lines(report: Report, tmp_path: Path) -> None:
    class Failing(_Registry):
        def build(self, tag: str, **_: object) -> Iterator[dict[str, str]]:
            yield {"stream": "Step 2/2 : RUN apt-get install nginx"}
            yield {"error": "write /var/lib: no space left on device"}

    with pytest.raises(ToolError) as caught:
        images.build_image(Failing(set()), tmp_path, "nginx:1.28", {}, report)
    assert caught.value.message == "Building nginx:1.28 failed: The disk is full."
    assert "apt-get install nginx" in caught.value.details


def test_the_base_uses_this_machine_s_mirror_and_proxy(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debian = system.Distribution(id="debian", version="13", uses_apt=True)
    monkeypatch.setattr(system, "distribution", lambda: debian)
    sources = tmp_path / "apt" / "sources.list.d"
    sources.mkdir(parents=True)
    (sources / "other.list").write_text("deb [arch=amd64] https://other.example/apt stable main\n")
    (sources / "z.sources").write_text("Types: deb\nURIs: http://mirror.example/debian\n")
    assert base.debian_mirror(tmp_path / "apt") == "http://mirror.example/debian"
    fake("apt-config", "echo 'Acquire::http::Proxy \"http://proxy.example:3128\";'")
    assert '--aptopt=Acquire::http::Proxy "http://proxy.example:3128"' in base.arguments(
        tmp_path / "tree"
    )


def test_the_base_trusts_whom_this_machine_trusts(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "company.pem"
    bundle.touch()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    hooks = [it for it in base.arguments(tmp_path / "tree") if str(bundle) in it]
    assert hooks == [f"--customize-hook=upload '{bundle}' /etc/ssl/certs/ca-certificates.crt"], (
        "builds reach the package registries through it"
    )


@pytest.mark.parametrize("tag", images.STAND_INS)
def test_every_stand_in_has_a_recipe_on_our_base(tag: str) -> None:
    recipe = Path(images.__file__).parent / images.STAND_INS[tag] / "Dockerfile"
    lines = recipe.read_text().splitlines()
    assert f"FROM {images.BASE}" in lines
    assert not any(line.startswith("# syntax") for line in lines), "its frontend is an image too"
