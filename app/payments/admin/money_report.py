"""A reconciliation as CSV, for a spreadsheet."""

from __future__ import annotations

import csv
import io

from fastapi.responses import Response

from payments.admin.money_views import RunDetail

_COLUMNS = ("gateway", "kind", "payment", "ours", "theirs", "repaired", "payment_id")


def run_csv(detail: RunDetail) -> Response:
    """Return the differences of a run, to be saved as a file."""
    told = io.StringIO()
    writer = csv.writer(told, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for one in detail.differences:
        row = (detail.run.gateway, one.kind, one.payment_ref, one.ours, one.theirs)
        writer.writerow((*map(_inert, row), "yes" if one.repaired else "no", one.payment_id or ""))
    name = f"reconciliation-{detail.run.gateway}-{detail.run.started_at:%Y%m%d-%H%M}.csv"
    return Response(
        told.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


def _inert(cell: str) -> str:
    """Return a text that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
