"""What `make up` shows at its end, and `make status` again: where to click and what to try."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from tools.console import Ui
from tools.events import Follower
from tools.paths import Home
from tools.runner import Runner
from tools.twin import Twin

# The gateway simulator's cards: Stripe's published test numbers.
CARDS = (
    ("4242 4242 4242 4242", "pays"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "is declined: insufficient funds"),
)
OTHERS = (
    ("by Razorpay", "the UPI id success@razorpay, or failure@razorpay"),
    ("with PayPal", "buyer@example.com, any password"),
    ("in coins", "Cryptomus' page asks how much comes: all, less, more, late"),
)
ADMIN = "ada@payments.localhost"


def show_result(
    ui: Ui, home: Home, runner: Runner, running: Twin, changes: Follower, seconds: float
) -> None:
    """The table at the end of `make up`."""
    outputs = runner.state.outputs() or changes.outputs
    url = str(outputs.get("url", ""))
    port = running.about["https_port"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")

    def row(title: str, text: str) -> None:
        table.add_row(title, Text(text))  # a path may hold brackets

    row("Platform", url)
    row("Twin", f"https://twin.localhost:{port}  what is deployed, payments, webhooks")
    row("Log in", "register with any e-mail address and a password of 12 characters")
    row("Pay by card", "any future date, any CVC, with the card")
    for number, does in CARDS:
        row("", f"{number}  {does}")
    for title, how in OTHERS:
        row(title, how)
    row("Administer", f"{url}/admin  as {ADMIN}; the key goes into an authenticator")
    ssh = outputs.get("ssh")
    if isinstance(ssh, str):
        row("Droplet", ssh)
    row("Logs", f"make logs    ({home.logs})")
    row("Certificate", f"the browser warns once; or import {home.path / 'ca.pem'}")
    row("Next", "make status, make open, make up (again), make down")
    ui.say("")
    changed = changes.summary() if changes.changed() else "no changes"
    ui.say(f"Up in {seconds:.0f} s: {changed}.", style="bold green")
    ui.console.print(table)
    for note in machine_notes(running):
        ui.warn(note)


def machine_notes(running: Twin) -> list[str]:
    """Where the twin differs from the real clouds on this machine."""
    found: Any = running.status().get("machines", {})
    notes = found.get("notes", []) if isinstance(found, dict) else []
    return [str(note) for note in notes]
