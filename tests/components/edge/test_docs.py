"""The written page says what the tables say."""

from __future__ import annotations

from dataclasses import fields

from components.edge import docs, plans, whole
from components.edge.report import report


def test_the_page_about_the_edge_is_up_to_date() -> None:
    assert docs.FILE.read_text(encoding="utf-8") == docs.render(), (
        "run: .venv/bin/python -m components.edge.docs"
    )


def test_every_row_of_the_plans_has_its_title_and_source() -> None:
    rows = {field.name for field in fields(plans.Plan)} - {"name"}
    assert rows == set(plans.ROWS)
    assert all(title and source for title, source in plans.ROWS.values())


def test_a_preview_names_every_rule_and_every_loss() -> None:
    for plan in plans.PLANS.values():
        fitted = whole.fit(docs.EXAMPLE, plan)
        text = report(fitted)
        assert "False" not in text, "off, not Python's word for it"
        assert plan.title in text.splitlines()[0]
        words = " ".join(text.split())
        for rules in fitted.rules.values():
            assert all(rule.ref in words for rule in rules)
        for finding in fitted.lost:
            assert f"{finding.phase}/{finding.ref} is {finding.outcome}" in words
            assert finding.otherwise in words
        assert max(len(line) for line in text.splitlines()) <= 100


def test_what_a_stack_shows_of_its_edge_names_what_is_lost_and_no_address() -> None:
    summary = whole.fit(docs.EXAMPLE, plans.FREE).summary()
    assert summary["plan"] == "free"
    assert "rate-limits/login" in str(summary["weakened"])
    assert "managed/owasp" in str(summary["left_out"])
    assert "198.51.100.7" not in str(summary)
