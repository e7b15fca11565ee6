"""What a command shows while it works: phases with their times, and what a long one is doing.

In a terminal a phase is one live line; elsewhere (a pipe, CI) it is a line when it ends and, while
it takes long, one every few seconds. The same lines go to the instance's log.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

_QUIET_SECONDS = 15.0  # between two signs of life where there is no terminal
_TITLE_WIDTH = 12
_WIDTH_WITHOUT_TERMINAL = 120


@dataclass
class Finished:
    """A phase that is over."""

    title: str
    seconds: float
    result: str


class Ui:
    """The console of one command, and its log."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or _console()
        self.finished: list[Finished] = []
        self._log: Path | None = None

    def log_to(self, path: Path) -> None:
        """Keep everything that is shown (and what is only noted) in a file too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._log = path

    def say(self, text: str, style: str = "") -> None:
        """A line that stays."""
        self.console.print(Text(text, style=style))
        self.record(text)

    def warn(self, text: str) -> None:
        """A line that stays and stands out."""
        self.say(f"! {text}", style="yellow")

    def record(self, text: str) -> None:
        """A line for the log alone."""
        if self._log and self._log.parent.exists():
            with self._log.open("a", encoding="utf-8") as stream:
                stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")

    @contextmanager
    def phase(self, title: str) -> Iterator[Phase]:
        """Show a step of the command; its time counts from here."""
        with Phase(self, title) as phase:
            yield phase

    @contextmanager
    def live(self, text: str) -> Iterator[Status | None]:
        """The live line, where there is a terminal."""
        if not self.console.is_terminal:
            yield None
            return
        with self.console.status(text, spinner="dots") as status:
            yield status


class Phase:
    """One step: `note` is what it is doing now, `done` what came of it."""

    def __init__(self, ui: Ui, title: str) -> None:
        self._ui = ui
        self._title = title
        self._result = ""
        self._note = ""
        self._describe: Callable[[], str] | None = None
        self._started = time.monotonic()
        self._shown = self._started
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, text: str) -> None:
        """What the phase is doing at this moment; a program's output line by line is fine."""
        self._note = " ".join(text.split())[:200]
        if self._note:
            self._ui.record(f"{self._title}: {self._note}")

    def watch(self, describe: Callable[[], str]) -> None:
        """Ask `describe` what the phase is doing, again and again, from now on."""
        self._describe = describe

    def say(self, text: str) -> None:
        """A line that stays, of this phase."""
        self._note = text
        self._ui.say(f"  {text}")

    def done(self, result: str) -> None:
        """What came of it; shown when the phase ends."""
        self._result = result

    def __enter__(self) -> Phase:
        self._thread = threading.Thread(target=self._show, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        seconds = time.monotonic() - self._started
        self._ui.finished.append(Finished(self._title, seconds, self._result))
        mark, style = ("✓", "green") if kind is None else ("✗", "red")
        line = f"{self._title:<{_TITLE_WIDTH}} {seconds:6.1f} s  {self._result}"
        self._ui.console.print(f"[{style}]{mark}[/] {escape(line.rstrip())}")
        self._ui.record(f"{mark} {line}")

    def _show(self) -> None:
        with self._ui.live(self._title) as status:
            while not self._stop.wait(0.2):
                elapsed = time.monotonic() - self._started
                if self._describe:
                    self._note = self._describe()
                if status:
                    width = max(20, self._ui.console.width - _TITLE_WIDTH - 14)
                    note = escape(self._note[:width])
                    status.update(f"{self._title:<{_TITLE_WIDTH}} {elapsed:4.0f} s  [dim]{note}[/]")
                elif time.monotonic() - self._shown >= _QUIET_SECONDS:
                    self._shown = time.monotonic()
                    self._ui.console.print(
                        Text(f"  {self._title} … {elapsed:.0f} s {self._note}".rstrip())
                    )


def _console() -> Console:
    """As wide as the terminal; wide enough for tables where there is none."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal:
        console.width = max(console.width, _WIDTH_WITHOUT_TERMINAL)
    return console
