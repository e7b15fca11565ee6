"""`make drift`: would an update of a stack change anything? Asks its clouds, and changes nothing.

What `make preview` does on paper, this does with the accounts: it reads the state from where
`pulumi login` put it, with whatever credentials the environment has. The nightly workflow runs it.

Exit codes: 0 nothing would change; 1 something would, or it could not be told.
"""

from __future__ import annotations

import os

from tools import engine, process, stackfile
from tools.bootstrap import environments
from tools.console import Ui
from tools.paths import ROOT


def drift(ui: Ui, stack: str) -> int:
    """Compare a stack with its clouds; returns the exit code."""
    stackfile.load(ROOT, stack)  # a stack that does not exist ends here, before any work
    with ui.phase("Engine") as phase:
        found = engine.ensure(phase.note)
        phase.done(f"Pulumi {found.version}, {found.origin}")
    code = process.run_through(
        [
            *(found.pulumi, "preview", "--stack", stack, "--non-interactive"),
            *("--refresh", "--diff", "--expect-no-changes"),
        ],
        cwd=ROOT,
        env={**os.environ, "PATH": found.path(environments(ROOT)["infra"].python.parent)},
    )
    ui.say("")
    if code:
        ui.say(
            f"An update of {stack} would change what is shown above. Run `pulumi up --stack "
            f"{stack}`: it undoes what somebody changed by hand, and renews certificates that are "
            "due (docs/runbooks/certificates.md)."
        )
        return 1
    ui.say(f"{stack} is as the program says.")
    return 0
