"""The catalogue of errors, for programs and for people who follow a problem's `type`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict

from payments.errors import NotFoundError
from payments.openapi.catalogue import catalogue
from payments.pages.render import Renderer

router = APIRouter()


class ErrorOut(BaseModel):
    """A kind of error. `code` is stable; titles and meanings may be reworded."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "insufficient_funds",
                    "status": 409,
                    "title": "There is not enough money in the account.",
                    "meaning": "An account would go below what its purpose allows.",
                }
            ]
        }
    )

    code: str
    status: int
    title: str
    meaning: str


class ErrorList(BaseModel):
    """Every kind of error."""

    data: list[ErrorOut]


@router.get("/api/v1/errors", tags=["errors"], summary="List every kind of error")
async def list_errors() -> ErrorList:
    """List the codes that answers with `application/problem+json` can carry."""
    return ErrorList(
        data=[
            ErrorOut(code=e.code, status=e.status, title=e.title, meaning=e.meaning)
            for e in catalogue()
        ]
    )


@router.get("/problems", include_in_schema=False)
async def errors_page(request: Request) -> Response:
    """Show the catalogue."""
    return await _page(request, None)


@router.get("/problems/{code}", include_in_schema=False)
async def error_page(request: Request, code: str) -> Response:
    """Show one kind of error: where a problem's `type` leads."""
    if code not in {entry.code for entry in catalogue()}:
        raise NotFoundError("There is no such kind of error.")
    return await _page(request, code)


async def _page(request: Request, code: str | None) -> Response:
    renderer: Renderer = request.app.state.renderer
    shown = [entry for entry in catalogue() if code in (None, entry.code)]
    return await renderer.page(request, "problems.html", errors=shown, code=code)
