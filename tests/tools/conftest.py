"""Fixtures of the tools' tests: programs on PATH that do as they are told, and a quiet console."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tools.console import Ui
from tools.paths import Home

Fake = Callable[[str, str], Path]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a shell script on PATH, which holds nothing else but the shell's own tools."""
    folder = tmp_path / "fake-bin"
    folder.mkdir()
    for tool in ("sh", "cat", "sleep", "mkdir", "touch", "env", "chmod", "cp"):
        found = shutil.which(tool)
        assert found, f"{tool} is part of every system this runs on"
        (folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str) -> Path:
        script = folder / name
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        return script

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of our own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "payments-platform"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An instance's folder, prepared; its run folder is removed again."""
    made = Home(tmp_path / "a home")
    made.prepare()
    yield made
    shutil.rmtree(made.run_dir, ignore_errors=True)


class Screen:
    """A console that is no terminal, and what it shows."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.ui = Ui(Console(file=self.stream, width=120, highlight=False, soft_wrap=True))

    @property
    def text(self) -> str:
        return self.stream.getvalue()


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def notes() -> list[str]:
    """What a step said; its `append` is the note function."""
    return []


@pytest.fixture(autouse=True)
def _no_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own choices reaches a test."""
    for name in list(os.environ):
        if name.startswith(("PAYMENTS_", "PULUMI_", "DOCKER_")):
            monkeypatch.delenv(name)
