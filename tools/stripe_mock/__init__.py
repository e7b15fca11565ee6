"""Stripe's own mock server (github.com/stripe/stripe-mock), built from its pinned Go module.

It knows every parameter and every shape of the API from Stripe's OpenAPI document, and remembers
nothing: what the gateway simulator answers is held against it.
"""

from __future__ import annotations

from typing import Final

from tools.go_program import GoProgram
from tools.paths import ROOT

STRIPE_MOCK: Final = GoProgram(
    name="stripe-mock",
    what="Stripe's mock server",
    place="stripe-mock",
    sources=ROOT / "tools" / "stripe_mock",
    package="github.com/stripe/stripe-mock",
    needed_bytes=400_000_000,
)
