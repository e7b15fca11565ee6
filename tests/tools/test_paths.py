from __future__ import annotations

import hashlib
import shutil
import stat
from pathlib import Path

import pytest

from tools.errors import ToolError
from tools.paths import Home, private_folder, write_private
from twin.places import instance_name


def test_tools_and_twin_call_an_instance_by_the_same_name(tmp_path: Path) -> None:
    home = Home(tmp_path / "with space")
    assert home.instance == instance_name(home.path)
    assert home.instance == "pp-" + hashlib.sha256(str(home.path).encode()).hexdigest()[:6]


def test_the_environment_names_another_instance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = Home.from_environment()
    monkeypatch.setenv("PAYMENTS_HOME", str(tmp_path / "x"))
    assert Home.from_environment().path == tmp_path / "x"
    monkeypatch.setenv("PAYMENTS_HOME", "")
    assert Home.from_environment() == default
    assert default.path.name == ".local"


def test_sockets_fit_into_the_run_folder(home: Home) -> None:
    socket = home.run_dir / "ssh" / ("c" * 40)  # ssh's %C, to which it adds 17 while connecting
    assert len(str(socket)) + 17 < 108
    assert stat.S_IMODE(home.run_dir.stat().st_mode) == 0o700


def test_a_folder_with_somebody_s_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    home = Home(tmp_path)
    with pytest.raises(ToolError, match="files that `make up` did not make"):
        home.prepare()
    home.remove()
    assert (tmp_path / "thesis.txt").exists(), "make down removes only what make up made"


def test_removing_leaves_nothing_but_the_lock(home: Home) -> None:
    (home.path / "lock").touch()
    (home.path / "twin.db").touch()
    (home.path / "link").symlink_to(home.path.parent)
    home.remove()
    assert [it.name for it in home.path.iterdir()] == ["lock"]
    assert not home.run_dir.exists()
    assert home.path.parent.exists(), "a link is removed, not what it points to"
    home.remove()  # again is fine


def test_a_removal_that_was_cut_short_is_continued(home: Home) -> None:
    shutil.rmtree(home.state)
    assert home.exists, "half an instance is still one: make down must see it"
    home.remove()
    assert not home.exists


def test_a_run_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.symlink_to(tmp_path)
    with pytest.raises(ToolError, match="belongs to someone else"):
        private_folder(trap)


def test_private_files_are_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("older and longer than the new one")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [it.name for it in tmp_path.iterdir()] == ["secret"]
