"""What is wrong with a stack's settings, said so that it can be put right: field, value, remedy."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import pulumi
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

NOT_SET: Final = "(not set)"
HIDDEN: Final = "(hidden)"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One setting that is wrong: where, what it is now, why that cannot be, and what to do."""

    field: str
    value: str
    reason: str
    remedy: str


class SettingsError(pulumi.RunError):
    """Every problem with the stack's settings; the engine shows the text without a stack trace."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        super().__init__(render(file, problems))
        self.problems = tuple(problems)


def render(file: str, problems: Sequence[Problem]) -> str:
    """The problems as a list for a terminal."""
    count = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
    lines = [f"{file}: {count} wrong; nothing was changed.", ""]
    for problem in problems:
        lines += [
            f"  {problem.field} = {problem.value}",
            f"      {problem.reason}",
            f"      -> {problem.remedy}",
        ]
    return "\n".join(lines)


def refused(reason: str, remedy: str) -> PydanticCustomError:
    """What a field's validator raises: both texts without braces, as pydantic formats them."""
    return PydanticCustomError("setting", "{reason}", {"reason": reason, "remedy": remedy})


def show(value: object) -> str:
    """A value as it would stand in the file, cut to one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown word: the nearest known one, and all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"known: {', '.join(names)}"


def from_validation(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Pydantic's errors in our words."""
    return [_translate(model, detail) for detail in error.errors(include_url=False)]


def _translate(model: type[BaseModel], detail: ErrorDetails) -> Problem:
    path = [str(part) for part in detail["loc"]]
    field = "payments:" + ".".join(path)
    kind, context = detail["type"], detail.get("ctx", {})
    value = show(detail["input"])
    if kind == "extra_forbidden":
        owner = _model_at(model, path[:-1]) or model
        return Problem(
            field=field,
            value=value,
            reason="there is no such setting",
            remedy=did_you_mean(path[-1], _keys(owner)),
        )
    if kind == "missing":
        return Problem(
            field=field, value=NOT_SET, reason="it is required", remedy=_example(model, path)
        )
    if kind == "literal_error":
        return Problem(
            field=field,
            value=value,
            reason="it is not one of the allowed values",
            remedy=f"use {context['expected']}",
        )
    if kind == "model_type":
        section = _model_at(model, path) or model
        return Problem(
            field=field,
            value=value,
            reason="it must be a mapping",
            remedy=f"write its keys below it: {', '.join(_keys(section))}",
        )
    remedy = context.get("remedy") or _example(model, path)
    reason = context.get("reason") or detail["msg"]
    return Problem(field=field, value=value, reason=str(reason), remedy=str(remedy))


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel] | None:
    """The model of the section that a path leads to."""
    kind: Any = model
    for part in path:
        if (section := section_of(kind)) is not None:
            fields = section.model_fields.items()
            kind = next((f.annotation for n, f in fields if part == (f.alias or n)), None)
        else:  # a name in a mapping of sections leads to one of them
            kind = get_args(kind)[1] if get_origin(kind) is dict else None
    return section_of(kind)


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section's model in `Section` or `Section | None`; None for a value, or a mapping."""
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    for candidate in (annotation, *choices):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _example(model: type[BaseModel], path: Sequence[str]) -> str:
    owner = _model_at(model, path[:-1])
    key = path[-1]
    fields: Mapping[str, Any] = owner.model_fields if owner else {}
    field = next((f for n, f in fields.items() if key == (f.alias or n)), None)
    if field is None or not field.examples:
        return f"set payments:{'.'.join(path)} in the stack's file"
    return f"for example {key}: {show(field.examples[0])}"
