"""The pages that people see: server-rendered, every one works without scripts."""

from __future__ import annotations

from fastapi import FastAPI

from payments.pages import assets, problems
from payments.pages.account import AccountPages
from payments.pages.assets import Assets
from payments.pages.render import Renderer


def install(app: FastAPI) -> None:
    """Plug the pages into the application. Needs `payments.people` plugged in before."""
    files = Assets()
    renderer = Renderer(files, app.state.authenticator)
    app.include_router(assets.router(files))
    app.include_router(AccountPages(renderer, app.state.people, app.state.authenticator).routes)
    app.state.problem_page = problems.pages(renderer)
