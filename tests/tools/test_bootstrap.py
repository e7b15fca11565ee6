from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.conftest import Fake
from tools import bootstrap, system
from tools.bootstrap import Environment
from tools.errors import ToolError
from tools.paths import ROOT

# A uv that makes a folder as the real one does, and writes down what it was asked for.
_UV = """
echo "$@" >> {log}
case "$1" in
  venv) for it; do :; done; mkdir -p "$it/bin"; touch "$it/bin/python"; chmod +x "$it/bin/python" ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    lock = tmp_path / "requirements.lock"
    lock.write_text("nothing==1.0 --hash=sha256:00\n")
    return Environment(name="infra", folder=tmp_path / "my venv", lock=lock)


@pytest.fixture
def uv(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "uv.log"
    fake("uv", _UV.format(log=log))
    monkeypatch.setattr(bootstrap, "pip_settings", dict)
    return log


def test_an_environment_is_made_once(environment: Environment, uv: Path) -> None:
    assert bootstrap.ensure(environment) is True
    assert "--require-hashes" in uv.read_text(), "every artefact is checked against the lock"
    calls = uv.read_text()
    assert bootstrap.ensure(environment) is False
    assert uv.read_text() == calls, "an unchanged environment costs nothing"


def test_a_changed_lock_makes_it_anew(environment: Environment, uv: Path) -> None:
    bootstrap.ensure(environment)
    environment.lock.write_text("nothing==2.0 --hash=sha256:11\n")
    assert bootstrap.ensure(environment) is True


def test_a_creation_that_was_cut_short_heals(
    environment: Environment,
    uv: Path,
    fake: Fake,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bootstrap.ensure(environment)
    environment.lock.write_text("nothing==2.0 --hash=sha256:11\n")
    fake("uv", "exit 1")
    monkeypatch.setattr(bootstrap, "_make_empty", _refuse)
    with pytest.raises(ToolError, match="the disk went away"):
        bootstrap.ensure(environment)
    assert not bootstrap.is_current(environment), "half an environment must never pass for a whole"
    fake("uv", _UV.format(log=tmp_path / "uv.log"))
    assert bootstrap.ensure(environment) is True
    assert bootstrap.is_current(environment)


def _refuse(environment: Environment) -> None:
    raise ToolError("the disk went away")


def test_without_ensurepip_the_exact_package_is_named(
    environment: Environment, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(system, "is_root", lambda: False)
    monkeypatch.setattr(
        system,
        "distribution",
        lambda: system.Distribution(id="debian", version="12", uses_apt=True),
    )
    with pytest.raises(ToolError) as caught:
        bootstrap._make_empty(environment)
    minor = sys.version_info[1]
    assert caught.value.remedy == f"sudo apt-get install -y python3.{minor}-venv"


def test_pip_s_settings_are_handed_to_uv(tmp_path: Path) -> None:
    listing = (
        "global.index-url='https://mirror.example/simple'\n"
        "install.index-url='https://closer.example/simple'\n"
        "global.extra-index-url='https://a.example\\nhttps://b.example'\n"
        "global.cert='/etc/ssl/company.pem'\n"
        f"global.find-links='{tmp_path} /nowhere/at/all'\n"
        ":env:.timeout='99'\n"
        "global.no-color='true'\n"
        "freeze.timeout='10'\n"
    )
    settings = bootstrap.uv_settings(bootstrap.parse_pip_config(listing))
    assert settings is not None
    assert settings["UV_DEFAULT_INDEX"] == "https://closer.example/simple"
    assert settings["UV_INDEX"] == "https://a.example https://b.example"
    assert settings["UV_FIND_LINKS"] == str(tmp_path), "uv refuses a folder that is not there"
    assert settings["UV_HTTP_TIMEOUT"] == "99"


def test_what_uv_cannot_do_is_left_to_pip() -> None:
    assert bootstrap.uv_settings({"client-cert": ["/me.pem"]}) is None


def test_an_unknown_environment_is_wrong_usage() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.bootstrap", "nope"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "there are: infra, app" in done.stderr


def test_the_bootstrap_needs_the_standard_library_only() -> None:
    """It runs before any environment exists; -S hides whatever this interpreter has installed."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import tools.bootstrap, tools.locks"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_only_root_on_debian_or_ubuntu_installs_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    other = system.Distribution(id="fedora", version="42", uses_apt=False)
    monkeypatch.setattr(system, "distribution", lambda: other)
    with pytest.raises(ToolError) as caught:
        system.apt_install(["docker.io"], "no engine", lambda text: None)
    assert "package manager" in caught.value.remedy


def test_apt_finishes_what_was_interrupted_and_tries_again(
    fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    fake(
        "apt-get",
        f'echo apt "$@" >> {log}; [ -e {tmp_path}/configured ] || '
        "{ echo 'E: dpkg was interrupted, you must manually run dpkg --configure -a'; exit 100; }",
    )
    fake("dpkg", f'echo dpkg "$@" >> {log}; touch {tmp_path}/configured')
    monkeypatch.setattr(system, "can_install", lambda: True)
    said: list[str] = []
    system.apt_install(["mmdebstrap"], "it makes the base image", said.append)
    assert "dpkg --configure -a" in log.read_text()
    assert log.read_text().splitlines()[-1].endswith("--no-install-recommends mmdebstrap")
    assert said[0] == "installing mmdebstrap from the distribution: it makes the base image"


def test_the_distribution_is_read_from_its_file(tmp_path: Path, fake: Fake) -> None:
    fake("apt-get", "")
    release = tmp_path / "os-release"
    release.write_text('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"\n')
    assert system.distribution(release) == system.Distribution(
        id="linuxmint", version="22", uses_apt=True
    )
    assert system.distribution(tmp_path / "none").uses_apt is False
