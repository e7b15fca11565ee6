"""The managed rules' engine (`twin/waf/engine`), built from its Go modules, kept in the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tools.go_program import Built, GoProgram, Note, compile_module
from tools.paths import ROOT

__all__ = ["PROGRAM", "SOURCES", "Built", "compile_module", "ensure", "find", "recipe"]

SOURCES = ROOT / "twin" / "waf" / "engine"
PROGRAM = "payments-waf"
_ENGINE = GoProgram(name=PROGRAM, what="the managed rules' engine", place="waf", sources=SOURCES)


def recipe(sources: Path = SOURCES) -> str:
    """A digest of everything that decides what is built."""
    return replace(_ENGINE, sources=sources).recipe()


def find() -> Path | None:
    """The built engine of this revision, or None; builds nothing."""
    return _ENGINE.find()


def ensure(note: Note) -> Built:
    """The engine of this revision, built where it is not yet there.

    Raises ToolError with the cause and the remedy where it cannot be built.
    """
    return _ENGINE.ensure(note)
