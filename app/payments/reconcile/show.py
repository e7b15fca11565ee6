"""Reports as text: a table for people, CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import astuple
from typing import Literal

from payments.reconcile.report import Line, Report

Format = Literal["table", "csv", "json"]

_COLUMNS = ("gateway", "kind", "payment", "ours", "theirs", "repaired")


def show(reports: Sequence[Report], form: Format) -> str:
    """Return the reports in one of the forms, ending in a newline."""
    if form == "json":
        return json.dumps([dataclasses.asdict(r) for r in reports], default=str, indent=2) + "\n"
    if form == "csv":
        return _csv(reports)
    return "".join(_table(report) for report in reports)


def _csv(reports: Sequence[Report]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_COLUMNS, "payment_id"))
    for report in reports:
        for line in report.lines:
            writer.writerow((*_cells(report, line), line.payment_id or ""))
    return text.getvalue()


def _table(report: Report) -> str:
    until, since = f"{report.until:%Y-%m-%d %H:%M}", f"{report.since:%Y-%m-%d %H:%M}"
    head = f"{report.gateway} ({report.account}), {since} to {until} UTC\n"
    if report.error is not None:
        return f"{head}  not reconciled: {report.error}\n"
    text = head + (
        f"  {report.listed} payments listed, {report.asked} asked about, {report.agreed} agree,"
        f" {len(report.lines)} differ ({len(report.lines) - report.open} repaired),"
        f" {report.fees_booked} fees booked\n"
    )
    if not report.complete:
        text += f"  NOT COMPLETE: {_what_is_left(report)}\n"
    rows = [_COLUMNS[1:], *(_cells(report, line)[1:] for line in report.lines)]
    if len(rows) > 1:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            text += f"  {'  '.join(cells).rstrip()}\n"
    return text


def _what_is_left(report: Report) -> str:
    if report.rest is None:
        return "more payments were to be asked about than --limit; raise it."
    since, until = (f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in astuple(report.rest))
    return (
        "the limit was reached, and the gateway has more. Go on with"
        f" --gateway {report.gateway} --since {since} --until {until}, or raise --limit."
    )


def _cells(report: Report, line: Line) -> tuple[str, ...]:
    return (
        report.gateway,
        line.kind,
        line.payment_ref or str(line.payment_id),
        line.ours,
        line.theirs,
        "yes" if line.repaired else "no",
    )
