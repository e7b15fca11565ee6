"""The engine at work on one stack: its environment, its runs, its state."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import lock, process
from tools.bootstrap import environments
from tools.console import Phase
from tools.engine import Engine
from tools.errors import ToolError, tail
from tools.events import Follower, remedy
from tools.paths import ROOT
from tools.state import State

# A person's accounts must never be reached from a local stack.
_FOREIGN = re.compile(
    r"^(DIGITALOCEAN_|SPACES_|CLOUDFLARE_|AWS_|PULUMI_|VIRTUAL_ENV$|PYTHONPATH$|PYTHONHOME$)"
)
_GRACE_SECONDS = 300.0  # the engine finishes what it began: a droplet's boot, a database's start


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs the engine for one stack out of `folder` (its Pulumi.yaml, stack file and state)."""

    engine: Engine
    folder: Path
    stack: str
    providers: str
    passphrase_file: Path
    held: lock.Held | None = None

    @property
    def state(self) -> State:
        """What the engine knows of the stack."""
        return State(self.folder, self.stack)

    def environment(self) -> dict[str, str]:
        """The engine's environment: the machine's, without anybody's cloud credentials."""
        kept = {name: value for name, value in os.environ.items() if not _FOREIGN.search(name)}
        venv = environments(ROOT)["infra"].python.parent
        return {
            **kept,
            "PATH": self.engine.path(venv),
            "PULUMI_HOME": str(self.folder / "engine"),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self.passphrase_file),
            "PULUMI_DEBUG_PROVIDERS": self.providers,
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_ERROR_OUTPUT_STRING": "1",
        }

    def init(self) -> None:
        """Make the stack unless it stands."""
        (self.folder / "state").mkdir(parents=True, exist_ok=True)
        if not self.state.path.exists():
            self.call("stack", "init", self.stack, what="Making the stack")

    def call(
        self, *arguments: str, what: str, check: bool = True, timeout: float = 120
    ) -> process.Completed:
        """Run a short command of the engine."""
        return process.run(
            [self.engine.pulumi, *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment(),
            check=check,
            timeout=timeout,
            what=what,
            pass_fds=self._inherited(),
        )

    def follow(
        self, verb: str, *arguments: str, phase: Phase, log: Path, quiet: bool = False
    ) -> Follower:
        """Run `up`, `refresh` or `destroy`, shown live; the whole stream goes to `log`.

        `quiet` shows what is under way and not what is done. Raises ToolError with every failed
        resource, its reason and what to do.
        """
        follower = Follower(phase.note if quiet else phase.say)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch(mode=0o600)

        def stopping() -> None:
            phase.say("stopping when what has begun is done (Ctrl-C again: at once)")

        phase.watch(follower.busy)
        done = process.run(
            [self.engine.pulumi, verb, "--stack", self.stack, "--yes", "--skip-preview",
             "--json", "--non-interactive", *arguments],
            cwd=self.folder,
            env=self.environment(),
            check=False,
            on_line=follower.line,
            grace=_GRACE_SECONDS,
            pass_fds=self._inherited(),
            on_start=self._note_engine,
            on_interrupt=stopping,
            log=log,
            what=f"pulumi {verb}",
        )  # fmt: skip
        if done.code != 0:
            raise failed(verb, follower, log)
        return follower

    def is_locked(self) -> bool:
        """Whether an engine that was killed left its lock behind."""
        folder = self.folder / "state" / ".pulumi" / "locks"
        return any(path.suffix == ".json" for path in folder.rglob("*"))

    def unlock(self) -> None:
        """Remove a lock that a killed engine left: we hold ours, so no other is at work."""
        self.call("cancel", "--yes", "--stack", self.stack, what="Releasing the engine's lock")

    def _inherited(self) -> Sequence[int]:
        return (self.held.descriptor,) if self.held else ()

    def _note_engine(self, pid: int) -> None:
        if self.held:
            lock.note(self.held.descriptor, {**self.held.holder, "engine": pid})


def failed(verb: str, follower: Follower, log: Path) -> ToolError:
    """The error for an update that did not succeed."""
    failures = follower.failures
    if not failures:
        said = tail("\n".join(follower.unreadable)) or "it said nothing"
        return ToolError(f"pulumi {verb} failed.", f"The whole log: {log}", said)
    first = failures[0]
    count = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
    details = "\n".join(
        f"{it.resource}: {it.reason}" if it.resource else it.reason for it in failures
    )
    where = first.resource or "the program"
    return ToolError(f"pulumi {verb} failed at {where}{count}.", remedy(details, str(log)), details)
