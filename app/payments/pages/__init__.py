"""The pages that people see: server-rendered, and every one works without scripts."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Plug the pages into the application. Needs `payments.people` plugged in before."""
    from payments.pages import assets, problems
    from payments.pages.account import AccountPages
    from payments.pages.checkout import CheckoutPages
    from payments.pages.developers import DeveloperPages
    from payments.pages.front import FrontPages
    from payments.pages.payments import PaymentPages
    from payments.pages.receipts import ReceiptPages
    from payments.pages.render import Renderer
    from payments.pages.statements import StatementPages
    from payments.pages.subscriptions import SubscriptionPages

    files = assets.Assets()
    authenticator = app.state.log_ins
    renderer = Renderer(files, authenticator)
    app.state.renderer = renderer
    app.include_router(assets.router(files))
    app.include_router(FrontPages(renderer, authenticator).routes)
    app.include_router(AccountPages(renderer, app.state.people, authenticator).routes)
    app.include_router(CheckoutPages(renderer, app.state.resources).routes)
    for pages in (PaymentPages, ReceiptPages, StatementPages, SubscriptionPages, DeveloperPages):
        app.include_router(pages(renderer, app.state.resources).routes)
    app.state.problem_page = problems.pages(renderer)
