"""`make clean`: environments and caches in the project; with ALL=1 the engine and images too."""

from __future__ import annotations

import shutil

from tools import docker, images
from tools.console import Ui
from tools.errors import ToolError
from tools.paths import ROOT, Home, cache_folder

_CACHES = (".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "dist")


def clean(ui: Ui, *, everything: bool) -> int:
    """Remove what the commands made in the project's folder, environments last.

    Raises ToolError while an instance lives in the project: its processes need the environment.
    """
    if Home.from_environment().exists:
        raise ToolError("A platform still stands here.", "make down")
    for name in _CACHES:
        shutil.rmtree(ROOT / name, ignore_errors=True)
    for folder in list(ROOT.rglob("__pycache__")):
        if ".venv" not in folder.parts:
            shutil.rmtree(folder, ignore_errors=True)
    if everything:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        client = docker.connect()
        if client is not None:
            for name in images.remove_ours(client):
                ui.say(f"removed the image {name}")
    for folder in (ROOT / "app" / ".venv", ROOT / ".venv"):
        shutil.rmtree(folder, ignore_errors=True)
    ui.say("clean")
    return 0
