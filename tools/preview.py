"""`make preview`: what an update of a stack would change, by the real engine, without an account.

The clouds are a twin on paper in a temporary folder. With a base revision its program is deployed
there first, so that the preview shows what the working tree changes: updates, replaces, deletes.
Without one everything is new.

Exit codes: 0 the preview ran, whatever it shows; 1 it failed (a wrong setting, a program's error).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools import engine, instance, process, stackfile, sweep, twin
from tools.console import Phase, Ui
from tools.errors import ToolError, tail
from tools.passphrase import Crypter
from tools.paths import ROOT, STACK, Home, temporary_home, write_private
from tools.runner import Runner
from tools.stackfile import StackFile

_PAPER_PORT = 443
_PAPER_PLACE = instance.Place(
    port=instance.DEFAULT_PORT,
    cidr="10.77.0.0/20",
    gateway="192.0.2.1",
)


@dataclass
class Prepared:
    """A stack ready to be previewed: the base is deployed where one was asked for."""

    stack: str
    base: str
    runner: Runner
    twin: twin.Twin
    notes: list[str] = field(default_factory=list)


def preview(ui: Ui, stack: str, base: str, plan: str = "") -> int:
    """Show the engine's own preview, on another plan of Cloudflare's; returns the exit code."""
    with prepared(ui, stack, base, plan) as ready:
        for note in ready.notes:
            ui.warn(note)
        runner = ready.runner
        return process.run_through(
            [runner.engine.pulumi, "preview", "--stack", stack, "--non-interactive", "--diff"],
            cwd=runner.folder,
            env=runner.environment(),
        )


def digest(ready: Prepared, phase: Phase) -> dict[str, Any]:
    """The preview as the engine's JSON digest. Raises ToolError with what the program said."""
    phase.note("previewing")
    # What protection would stop is what a reader most needs to see: shown here, not refused.
    done = ready.runner.call(
        *("preview", "--stack", ready.stack, "--json", "--ignore-protect"),
        what="The preview",
        check=False,
        timeout=600,
    )
    try:
        found = json.loads(done.out)
    except ValueError:
        found = {}
    if done.code != 0 or not isinstance(found, dict):
        said = [
            str(it.get("message", "")).strip()
            for it in (found.get("diagnostics") or [] if isinstance(found, dict) else [])
            if it.get("severity") == "error"
        ]
        raise ToolError(
            f"The preview of {ready.stack} failed.", details="\n".join(said) or tail(done.text)
        )
    return found


@contextmanager
def prepared(ui: Ui, stack: str, base: str, plan: str = "") -> Iterator[Prepared]:
    """A stack on paper, its base deployed; everything temporary is gone afterwards.

    `plan` stands in for the plan of the stack's zone.
    """
    head = stackfile.load(ROOT, stack)  # a stack that does not exist ends here, before any work
    if plan:
        head = _on_plan(head, plan)
    with ui.phase("Engine") as phase:
        found = engine.ensure(phase.note)
        phase.done(f"Pulumi {found.version}, {found.origin}")
    home = temporary_home()
    try:
        with ui.phase("Paper") as phase:
            ready = _on_paper(home, found, stack, base, head, phase)
            phase.done(f"{stack} on paper" + (f", {base} deployed" if ready.base else ""))
        yield ready
    finally:
        twin.stop(home, lambda text: None)
        sweep.processes(home, lambda text: None)
        home.remove()
        shutil.rmtree(home.path, ignore_errors=True)


def _on_plan(file: StackFile, plan: str) -> StackFile:
    """The stack's file with its zone on another plan."""
    zone = file.config.get("payments:zone")
    if not isinstance(zone, dict):
        raise ToolError(
            "The stack's file names no zone, so there is no plan to change.",
            "Set payments:zone in it, with name, id, account-id and plan.",
        )
    return replace(file, config={**file.config, "payments:zone": {**zone, "plan": plan}})


def _on_paper(
    home: Home, found: engine.Engine, stack: str, base: str, head: StackFile, phase: Phase
) -> Prepared:
    passphrase = secrets.token_urlsafe(24)
    crypter = Crypter.new(passphrase)
    notes: list[str] = []
    head, invented = _readable(head, stack, crypter)
    if invented:
        notes.append(
            f"no passphrase at hand for {', '.join(invented)}: placeholders stand in for them "
            "(PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG_PASSPHRASE_FILE names it)"
        )
    with tempfile.TemporaryDirectory(prefix="payments-base-") as folder:
        older = _base(Path(folder), stack, base, crypter, notes) if base else None
        for attempt in (older, None) if older else (None,):
            _fresh(home, passphrase, [head, *([attempt.file] if attempt else [])], crypter)
            running = twin.ensure(home, _PAPER_PORT, phase.note, paper=True)
            ready = Prepared(
                stack=stack,
                base=base if attempt else "",
                runner=_runner(home, found, stack, running),
                twin=running,
                notes=notes,
            )
            if attempt is None or _deploy_base(ready, attempt, home, phase):
                break
            twin.stop(home, lambda text: None)
            home.remove()
        _place(home, stack, head, ROOT)
        ready.runner.init()
    return ready


@dataclass(frozen=True, kw_only=True)
class _Base:
    """The base revision: where its program lies, and its stack file."""

    program: Path
    file: StackFile


def _base(
    folder: Path, stack: str, revision: str, crypter: Crypter, notes: list[str]
) -> _Base | None:
    """The base revision's program and settings; None, and a note, without such a stack."""
    program = folder / "program"
    program.mkdir()
    archive = folder / "base.tar"
    done = process.run(
        ["git", "archive", "--format=tar", f"--output={archive}", revision], cwd=ROOT, check=False
    )
    if done.code != 0:
        raise ToolError(
            f"The revision {revision} is not in this clone.",
            "git fetch --unshallow, or name one that git log shows.",
            tail(done.text, 2),
        )
    with tarfile.open(archive) as tar:
        tar.extractall(program)  # noqa: S202  (git's own archive of this repository)
    try:
        file = stackfile.load(program, stack)
    except ToolError:
        notes.append(f"{revision} has no stack {stack}: everything is shown as new")
        return None
    if not (program / "__main__.py").exists():
        notes.append(f"{revision} has no program: everything is shown as new")
        return None
    changed = _changed_secrets(file, stackfile.load(ROOT, stack))
    if changed:
        notes.append(
            f"the encrypted value of {', '.join(changed)} changes; its effect is not shown"
        )
    readable, _ = _readable(file, stack, crypter)
    return _Base(program=program, file=readable)


def _changed_secrets(old: StackFile, new: StackFile) -> list[str]:
    if old.salt != new.salt:
        return []  # encrypted anew altogether: nothing can be said
    before, after = dict(old.secure_values()), dict(new.secure_values())
    return sorted(path for path in before.keys() & after.keys() if before[path] != after[path])


def _readable(file: StackFile, stack: str, crypter: Crypter) -> tuple[StackFile, list[str]]:
    """The file with values that can be read here; and which of them are placeholders."""
    if stack == STACK:  # its secrets are made by `make up`, its file holds none
        config = stackfile.with_secrets(file.config, stackfile.placeholders(), crypter)
        return StackFile(config=config, salt=crypter.salt_line), []
    return stackfile.reencrypted(file, crypter, _passphrase_at_hand())


def _passphrase_at_hand() -> str | None:
    named = os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    if named and Path(named).is_file():
        return Path(named).read_text().strip()
    return os.environ.get("PULUMI_CONFIG_PASSPHRASE")


def _fresh(home: Home, passphrase: str, files: Sequence[StackFile], crypter: Crypter) -> None:
    """An empty folder with the accounts that these stack files speak of."""
    home.prepare()
    write_private(home.path / "passphrase", passphrase)
    instance.prepare_ssh(home)
    accounts = [_account(file, crypter) for file in files]
    zones = {it["id"]: it for found in accounts for it in found["cloudflare"]["zones"]}
    owners = {it["id"]: it for found in accounts for it in found["cloudflare"]["accounts"]}
    accounts[0]["cloudflare"].update(zones=[*zones.values()], accounts=[*owners.values()])
    instance.write_account(home, accounts[0])


def _account(file: StackFile, crypter: Crypter) -> dict[str, Any]:
    def value(key: str) -> str:
        return stackfile.plain(file.config, key, crypter)

    return instance.describe_account(
        file.config,
        _PAPER_PORT,
        digitalocean={
            "token": value("digitalocean:token"),
            "spaces_access_id": value("digitalocean:spacesAccessId"),
            "spaces_secret_key": value("digitalocean:spacesSecretKey"),
        },
        api_token=value("cloudflare:apiToken"),
        stripe_key=value("payments:stripe-secret-key"),
        webhook_secret=value("payments:stripe-webhook-secrets"),
    )


def _deploy_base(ready: Prepared, base: _Base, home: Home, phase: Phase) -> bool:
    _place(home, ready.stack, base.file, base.program)
    ready.runner.init()
    phase.note(f"deploying {ready.base} on paper")
    try:
        ready.runner.follow("up", phase=phase, log=home.logs / "base.ndjson", quiet=True)
    except ToolError as error:
        reason = tail(error.details, 2) or error.message
        ready.notes.append(
            f"{ready.base} cannot be deployed on paper with this environment ({reason}): "
            "everything is shown as new"
        )
        return False
    return True


def _place(home: Home, stack: str, file: StackFile, program: Path) -> None:
    if stack == STACK:
        overrides = instance.local_overrides(home, _PAPER_PLACE)
        file = replace(file, config=stackfile.merged(file.config, overrides))
    stackfile.write(home.path, stack, file)
    stackfile.write_project(home.path, program, ROOT / ".venv")


def _runner(home: Home, found: engine.Engine, stack: str, running: twin.Twin) -> Runner:
    return Runner(
        engine=found,
        folder=home.path,
        stack=stack,
        providers=running.debug_providers,
        passphrase_file=instance.passphrase_file(home),
    )
