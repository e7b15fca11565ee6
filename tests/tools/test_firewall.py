"""Building the managed rules' engine, with a Go that is a shell script."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.tools.conftest import Fake, Screen
from tools import firewall, up
from tools.errors import ToolError

_GO = """
case "$1" in
env) echo go1.26.1;;
build)
  count="$GO_COUNT"; echo built >> "$count"
  while [ "$1" != "-o" ]; do shift; done
  mkdir -p "${2%/*}"; echo engine > "$2"; chmod +x "$2"
  echo "go: downloading example.test/module v1.0.0" >&2
  ;;
esac
"""


@pytest.fixture
def builds(fake: Fake, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Go that builds at once; the file says how often."""
    counted = tmp_path / "count"
    monkeypatch.setenv("GO_COUNT", str(counted))
    monkeypatch.setattr(
        "tools.engine.golang._candidates", lambda: [Path(shutil.which("go") or "go")]
    )
    fake("go", _GO)
    return counted


def test_it_is_built_once_and_then_found(builds: Path) -> None:
    assert firewall.find() is None
    notes: list[str] = []
    first = firewall.ensure(notes.append)
    assert os.access(first.program, os.X_OK)
    assert first.origin == "built from Go modules"
    assert "downloading example.test/module v1.0.0" in notes
    assert firewall.ensure(notes.append).origin == "cached"
    assert firewall.find() == first.program
    assert builds.read_text() == "built\n", "an unchanged engine must cost nothing"


def test_other_sources_or_pins_make_another_engine(tmp_path: Path) -> None:
    copy = tmp_path / "engine"
    shutil.copytree(firewall.SOURCES, copy)
    recipe = firewall.recipe(copy)
    assert recipe == firewall.recipe(), "where the project lies must not matter"
    for name in ("main.go", "go.sum", "go.mod"):
        before = firewall.recipe(copy)
        (copy / name).write_text((copy / name).read_text() + "\n// changed\n")
        assert firewall.recipe(copy) != before, f"a change of {name} would not be built"


def test_a_build_that_fails_says_what_go_said_and_leaves_nothing(
    builds: Path, cache: Path, fake: Fake
) -> None:
    fake("go", 'case "$1" in env) echo go1.26.1;; *) echo "no such module" >&2; exit 1;; esac')
    with pytest.raises(ToolError) as caught:
        firewall.ensure(lambda text: None)
    assert "Building payments-waf failed" in caught.value.message
    assert "no such module" in caught.value.details
    assert firewall.find() is None
    assert [it.name for it in (cache / "waf").iterdir()] == ["lock"]


def test_a_full_disk_is_said_before_the_build(
    builds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1_000_000})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ToolError, match=r"needs 0\.7 GB"):
        firewall.ensure(lambda text: None)
    assert not builds.exists()


def test_up_goes_on_without_an_engine_and_says_what_is_not_enforced(
    builds: Path, screen: Screen, fake: Fake
) -> None:
    fake("go", 'case "$1" in env) echo go1.26.1;; *) echo "no route to host" >&2; exit 1;; esac')
    assert up._firewall(screen.ui) is None
    assert "will not enforce managed rulesets" in screen.text
    assert "no route to host" in screen.text
