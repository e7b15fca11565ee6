"""The challenge's page. One file, no other request; readable without style, usable by keyboard."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Final

import jinja2
from multidict import CIMultiDict

from twin.edge.exchange import Exchange, Reply
from twin.edge.firewall.challenge import PUZZLE_BITS, Puzzle

PLATFORM: Final = "/cdn-cgi/challenge-platform/"
_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True
)
_PAGE: Final = _TEMPLATES.get_template("challenge.html")


def page(exchange: Exchange, puzzle: Puzzle) -> Reply:
    """Return the page that puts a puzzle to a browser."""
    nonce = secrets.token_urlsafe(12)
    told = {
        "nonce": puzzle.nonce,
        "bits": PUZZLE_BITS,
        "interactive": puzzle.interactive,
        "post": f"{PLATFORM}h/t/flow/{exchange.ray.partition('-')[0]}",
        "repeat": exchange.request.method in ("GET", "HEAD"),
    }
    body = _PAGE.render(
        host=exchange.host,
        ray=exchange.ray,
        nonce=nonce,
        interactive=puzzle.interactive,
        # In a <script> only "<" could end the data early.
        told=json.dumps(told).replace("<", "\\u003c"),
    )
    headers = CIMultiDict(
        {
            "Content-Type": "text/html; charset=UTF-8",
            "Cache-Control": "private, max-age=0, no-store, no-cache, must-revalidate",
            "cf-mitigated": "challenge",
            "Content-Security-Policy": f"default-src 'none'; script-src 'nonce-{nonce}'; "
            f"style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:; base-uri 'none'; "
            "form-action 'none'; frame-ancestors 'self'",
            "Referrer-Policy": "same-origin",
            "X-Frame-Options": "SAMEORIGIN",
            "X-Content-Type-Options": "nosniff",
        }
    )
    return Reply(status=403, headers=headers, body=body.encode(errors="replace"))
