"""A check of our own, loaded by Schemathesis (`SCHEMATHESIS_HOOKS`)."""

from __future__ import annotations

import schemathesis

REFUSALS = ("invalid_payload", "ambiguous_body", "bad_request")


@schemathesis.check  # type: ignore[untyped-decorator, unused-ignore]
def described_data_is_not_called_malformed(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> None:
    """What fits the document may be refused by a rule (no such product), never by its form."""
    mode = case.meta.generation.mode if case.meta else None
    if mode is None or not mode.is_positive or response.status_code not in (400, 422):
        return
    if isinstance(case.body, dict) and any(isinstance(v, float) for v in case.body.values()):
        return  # `8.0` is an integer to JSON Schema; an amount is written without a fraction
    if "/None/" in f"{case.formatted_path}/":
        return  # a link followed to what is null: no id of anything
    code = response.json().get("code")
    assert code not in REFUSALS, f"{case.formatted_path} fits the document, and is {code}"
