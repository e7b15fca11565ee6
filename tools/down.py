"""`make down`: everything of an instance removed, whatever state it is in.

First by the engine, as one would in the cloud; then by the twin; then whatever still carries the
instance's label. Every step is tried, and what could not be removed is named.
"""

from __future__ import annotations

from typing import Any

from tools import docker, engine, instance, lock, sweep, twin
from tools.console import Ui
from tools.errors import ToolError
from tools.paths import STACK, Home
from tools.runner import Runner


def down(home: Home, ui: Ui) -> int:
    """Take the instance down; returns the exit code."""
    if not home.exists:
        client = docker.connect()
        left = sweep.leftovers(client, home) if client else []
        if not left:
            ui.say("Nothing to take down.")
            docker.stop_ours(_Quiet())
            return 0
    failed: list[str] = []
    with lock.hold(home.path / "lock", "down") as held:
        client = docker.connect()
        _by_the_engine(home, ui, held, client)
        failed += _by_hand(home, ui, client)
        if not failed:
            home.remove()
            (home.path / "lock").unlink(missing_ok=True)
            if not any(home.path.iterdir()):
                home.path.rmdir()
            docker.stop_ours(_Quiet())
    if failed:
        raise ToolError(
            "Not everything could be removed.",
            f"Run make down again. The instance's files are kept for that: {home.path}",
            "\n".join(failed),
        )
    ui.say("Everything is gone: containers, networks, volumes, processes, files.", "bold green")
    return 0


def _by_the_engine(home: Home, ui: Ui, held: lock.Held, client: Any | None) -> None:
    """`pulumi destroy`, and what it leaves to the twin; failures are shown and not fatal."""
    if not (home.state / ".pulumi" / "stacks").exists():
        return
    with ui.phase("Destroy") as phase:
        try:
            if client is None:
                raise ToolError("no Docker engine answers")
            chosen = instance.settings(home)
            port = int(chosen.get("port", instance.DEFAULT_PORT))
            running = twin.find(home) or twin.ensure(home, port, phase.note)
            runner = Runner(
                engine=engine.ensure(phase.note),
                folder=home.path,
                stack=STACK,
                providers=running.debug_providers,
                passphrase_file=instance.passphrase_file(home),
                held=held,
            )
            if runner.is_locked():
                runner.unlock()
            before = len(runner.state.resources())
            if before:
                runner.follow("destroy", phase=phase, log=home.logs / "down.ndjson")
            running.destroy_all()
            phase.done(f"{before} resources destroyed")
        except (ToolError, OSError) as error:
            phase.say(f"the engine could not: {error}; removing everything directly")
            phase.done("left to the next step")
            _ask_the_twin(home)


def _ask_the_twin(home: Home) -> None:
    running = twin.find(home)
    if running:
        try:
            running.destroy_all()
        except ToolError:
            return  # the next step removes the same things without it


def _by_hand(home: Home, ui: Ui, client: Any | None) -> list[str]:
    with ui.phase("Clean up") as phase:
        twin.stop(home, phase.note)
        sweep.processes(home, phase.note)
        if client is None:
            if not home.exists:
                return []
            phase.say("no Docker engine answers: containers it may keep cannot be looked for")
            return []
        prefixes = sweep.image_prefixes(client, home)
        failed = sweep.docker_objects(client, home, phase.note)
        sweep.own_images(client, home, prefixes)
        phase.done("nothing is left" if not failed else f"{len(failed)} things are left")
        return failed


class _Quiet:
    """Progress that nobody needs to see."""

    def note(self, text: str) -> None:
        """Drop it."""

    def say(self, text: str) -> None:
        """Drop it."""
