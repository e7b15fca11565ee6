"""The pages that Access shows people, and the simulated Google's: no scripts, one style sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import jinja2
from aiohttp import web
from multidict import CIMultiDict

from twin.edge.exchange import Reply

_HERE: Final = Path(__file__).parent
_STYLE: Final = _HERE.parent / "pages" / "static" / "twin.css"
HEADERS: Final = {
    "Cache-Control": "no-store",
    # `form-action` covers where a form's answer redirects to: the team domain, the application.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'self' https:; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Views:
    """Renders templates."""

    def __init__(self) -> None:
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(loader=loader, autoescape=True)
        self._style = _STYLE.read_text()

    def page(self, name: str, status: int = 200, **values: Any) -> web.Response:
        """Return a page of a site."""
        text = self._text(name, values)
        return web.Response(status=status, text=text, content_type="text/html", headers=HEADERS)

    def reply(self, name: str, status: int, **values: Any) -> Reply:
        """Return a page of the pipeline."""
        headers = CIMultiDict({**HEADERS, "Content-Type": "text/html; charset=utf-8"})
        return Reply(status=status, headers=headers, body=self._text(name, values).encode())

    def _text(self, name: str, values: dict[str, Any]) -> str:
        return self._templates.get_template(name).render(style=self._style, **values)
