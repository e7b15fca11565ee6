"""What the gateways' own pages have in common: templates, a style, forms, careful headers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from aiohttp import web

from twin.edge.site import Site

LARGEST_FORM = 16 * 1024
_HERE = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript"}


def policy(frame_ancestors: str = "'none'") -> str:
    """Return a page's content security policy."""
    # `form-action` covers where a form's answer redirects to: the merchant's page.
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
        "form-action 'self' https: http:; base-uri 'none'; "
        f"frame-ancestors {frame_ancestors}"
    )


HEADERS: Mapping[str, str] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": policy(),
    "Referrer-Policy": "origin",
    "X-Content-Type-Options": "nosniff",
}


class Pages:
    """A gateway's templates and static files (below `folder`), the common ones behind them."""

    def __init__(self, folder: Path, site: Site) -> None:
        self._folders = (folder, _HERE)
        loader = jinja2.FileSystemLoader([each / "templates" for each in self._folders])
        self._templates = jinja2.Environment(loader=loader, autoescape=True)
        site.route("GET", "/static/{name}", self._static)

    def render(
        self, template: str, status: int = 200, *, framed: bool = False, **values: Any
    ) -> web.Response:
        """Render a page; `framed` lets the merchant's page show it in a frame."""
        text = self._templates.get_template(template).render(values)
        headers = dict(HEADERS)
        if framed:
            headers["Content-Security-Policy"] = policy("https: http:")
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)

    async def _static(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        for folder in self._folders:
            known = {path.name: path for path in (folder / "static").glob("*")}
            if name in known and known[name].suffix in _TYPES:
                kind = _TYPES[known[name].suffix]
                return web.Response(text=known[name].read_text(), content_type=kind)
        return web.Response(status=404, text="There is nothing here.\n")


def redirect(location: str) -> web.Response:
    """Lead the browser elsewhere; what it posted stays here."""
    return web.Response(status=303, headers={"Location": location, "Cache-Control": "no-store"})


async def fields(request: web.BaseRequest) -> dict[str, str]:
    """Return the fields of a form; none where it is larger than a form can be."""
    body = b""
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > LARGEST_FORM:
            return {}
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
