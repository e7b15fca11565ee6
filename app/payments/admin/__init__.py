"""Administering the service: pages below `/admin` and a JSON API below `/api/admin/v1`.

Reads everything but secrets, raw messages and card data (there is none). Changes what a person
has to decide: webhooks that are tried again, people, and money (`money_actions`). Each change is
written into the audit log with who made it. Who may come here is decided by `payments.access`.
"""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Plug the admin in. Needs `payments.people` and `payments.pages` plugged in before."""
    from payments.admin.api import AdminApi
    from payments.admin.books_pages import BooksPages
    from payments.admin.money_api import MoneyApi
    from payments.admin.money_pages import MoneyPages
    from payments.admin.pages import AdminPages

    app.include_router(AdminApi(app.state.resources, app.state.log_ins).routes)
    app.include_router(AdminPages(app.state.renderer, app.state.resources, app.state.people).routes)
    app.include_router(MoneyApi(app.state.resources, app.state.log_ins).routes)
    app.include_router(MoneyPages(app.state.renderer, app.state.resources).routes)
    app.include_router(BooksPages(app.state.renderer, app.state.resources).routes)
