"""`make up`: from a clone to a running platform, and again to find that nothing changed."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools import (
    docker,
    engine,
    firewall,
    images,
    instance,
    lock,
    place,
    smoke,
    stackfile,
    sweep,
    system,
    twin,
)
from tools.console import Ui
from tools.errors import ToolError
from tools.events import Follower
from tools.finish import show_result
from tools.paths import ROOT, STACK, Home
from tools.runner import Runner
from tools.state import State
from twin.edge.image import ensure_connector_image
from twin.machines.images import ensure_images
from twin.world import WorldError


@dataclass
class _Machine:
    """What this machine offers, once it is ready."""

    engine: engine.Engine
    docker: Any
    firewall: Path | None = None
    notes: list[str] = field(default_factory=list)


def up(home: Home, ui: Ui, port: int | None, ingress: str | None = None) -> int:
    """Bring the platform up; returns the exit code. Raises ToolError with cause and remedy."""
    home.prepare()
    with lock.hold(home.path / "lock", "up") as held:
        ui.log_to(home.logs / "up.log")
        started = time.monotonic()
        machine = _ready(ui)
        chosen = _settings(home, machine.docker, port, ingress)
        _build_images(ui, machine, home)
        try:
            running, accounts = _start_twin(ui, home, chosen["port"], machine.firewall)
            runner = _runner(home, machine, running, held)
            _configure(home, machine, accounts, chosen, runner)
            _recover(ui, runner, running, home)
            changes = _deploy(ui, runner, home)
        except BaseException:
            _tidy(home, machine)
            raise
        url = str(runner.state.outputs().get("url") or changes.outputs.get("url", ""))
        with ui.phase("Check") as phase:
            seconds = smoke.wait_for_site(url, home.path / "ca.pem", phase.note)
            phase.done(f"{url} answers after {seconds:.1f} s")
        _remember_times(ui, home, time.monotonic() - started)
        show_result(ui, home, runner, running, changes, time.monotonic() - started)
    return 0


def _ready(ui: Ui) -> _Machine:
    with ui.phase("Engine") as phase:
        found = engine.ensure(phase.note)
        phase.done(f"Pulumi {found.version}, {found.origin}")
    rules = _firewall(ui)
    with ui.phase("Docker") as phase:
        system.require("ssh", ["openssh-client"], "it is how droplets are reached", phase.say)
        client = docker.ensure(phase)
        phase.done(docker.describe(client))
    return _Machine(engine=found, docker=client, firewall=rules)


def _firewall(ui: Ui) -> Path | None:
    """The managed rules' engine; without it all the rest still works, and the person is told."""
    with ui.phase("Firewall") as phase:
        try:
            built = firewall.ensure(phase.note)
        except ToolError as error:
            phase.done("not built")
            ui.warn(
                f"The edge will not enforce managed rulesets. {error.message}\n"
                + "\n".join(filter(None, (error.details, error.remedy)))
            )
            return None
        phase.done(f"OWASP core ruleset, {built.origin}")
    return built.program


def _settings(home: Home, client: Any, port: int | None, ingress: str | None) -> dict[str, Any]:
    """The port, the network range and the ingress of this instance, chosen once and kept."""
    kept = instance.settings(home)
    config = stackfile.load(ROOT, STACK).config
    wanted = str((config.get("payments:network") or {}).get("cidr", "10.77.0.0/20"))
    chosen: dict[str, Any] = {
        "port": int(port or kept.get("port") or instance.DEFAULT_PORT),
        "cidr": kept.get("cidr") or place.free_vpc(client, home, wanted),
        "ingress": ingress or kept.get("ingress") or config.get("payments:ingress", "tunnel"),
    }
    running = twin.find(home)
    ours = running is not None and running.about.get("https_port") == chosen["port"]
    if not ours:
        twin.require_port(chosen["port"])
    instance.save_settings(home, chosen)
    return chosen


def _build_images(ui: Ui, machine: _Machine, home: Home) -> None:
    with ui.phase("Images") as phase:
        bases = images.ensure_bases(machine.docker, phase)
        try:
            built = ensure_images(
                machine.docker, lambda name, doing: phase.note(f"{name}: {doing}")
            )
            ensure_connector_image(home.path, machine.docker, phase.note)
        except WorldError as error:
            raise ToolError(str(error)) from error
        phase.done(f"{bases}; of the twin's own {len(built)} built")


def _start_twin(
    ui: Ui, home: Home, port: int, rules: Path | None
) -> tuple[twin.Twin, dict[str, Any]]:
    with ui.phase("Twin") as phase:
        instance.prepare_ssh(home)
        config = stackfile.load(ROOT, STACK).config
        accounts = instance.account(home, config, port)
        changed = instance.write_account(home, accounts)
        running = twin.ensure(home, port, phase.note, anew=changed, firewall=rules)
        phase.done(f"clouds on this machine, process {running.pid}")
    return running, accounts


def _runner(home: Home, machine: _Machine, running: twin.Twin, held: lock.Held) -> Runner:
    return Runner(
        engine=machine.engine,
        folder=home.path,
        stack=STACK,
        providers=running.debug_providers,
        passphrase_file=instance.passphrase_file(home),
        held=held,
    )


def _configure(
    home: Home, machine: _Machine, accounts: dict[str, Any], chosen: dict[str, Any], runner: Runner
) -> None:
    instance.write_stack(
        home,
        accounts,
        instance.Place(
            port=chosen["port"],
            cidr=chosen["cidr"],
            ingress=chosen["ingress"],
            gateway=place.internet_gateway(machine.docker, home),
        ),
    )
    runner.init()


def _recover(ui: Ui, runner: Runner, running: twin.Twin, home: Home) -> None:
    """Mend what a killed run left: the engine's lock, half-made resources, orphans of the twin."""
    mark = _mark(home)
    pending = runner.state.pending()
    if not (mark.exists() or pending or runner.is_locked()):
        return
    with ui.phase("Recovery") as phase:
        if runner.is_locked():
            phase.note("releasing the lock of an engine that was killed")
            runner.unlock()
        if pending:
            phase.note(f"{len(pending)} operations were cut short")
            runner.follow(
                "refresh", "--clear-pending-creates", phase=phase, log=home.logs / "recovery.ndjson"
            )
        report = running.collect(runner.state.known_ids())
        removed = len(report.get("removed") or [])
        phase.done(
            f"an earlier run did not finish: {len(pending)} operations cleared, "
            f"{removed} orphans removed"
        )


def _deploy(ui: Ui, runner: Runner, home: Home) -> Follower:
    mark = _mark(home)
    mark.touch()
    with ui.phase("Deploy") as phase:
        changes = runner.follow("up", phase=phase, log=home.logs / "up.ndjson")
        phase.done(changes.summary() if changes.changed() else f"no changes ({changes.summary()})")
    mark.unlink()
    return changes


def _mark(home: Home) -> Path:
    """Stands while the engine works; found at the start, it says that a run was cut short."""
    return home.path / "deploying"


def _tidy(home: Home, machine: _Machine) -> None:
    """After a failure before anything was deployed: leave no container, network or process."""
    state = State(home.path, STACK)
    if state.resources() or state.pending():
        return
    twin.stop(home, lambda text: None)
    sweep.docker_objects(machine.docker, home, lambda text: None)


def _remember_times(ui: Ui, home: Home, total: float) -> None:
    """The phases and their seconds, for `bench/` and for whoever asks where the time went."""
    phases = {it.title: round(it.seconds, 2) for it in ui.finished}
    path = home.logs / "up-times.json"
    path.write_text(
        json.dumps({"total": round(total, 2), "phases": phases, "cpus": os.cpu_count()})
    )
