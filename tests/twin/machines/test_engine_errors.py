"""Errors of the Docker SDK as sentences that say what to do."""

from __future__ import annotations

import pytest
import requests
from docker.errors import APIError

from twin.machines.engine import translated
from twin.world import WorldError


def test_a_full_disk_says_how_to_look() -> None:
    error = APIError("500", explanation="write /var/lib/docker/x: no space left on device")
    with pytest.raises(WorldError, match=r"disk of the Docker engine is full.*docker system df"):
        _raise("start web-1", error)


def test_an_engine_that_went_away_is_named_so() -> None:
    error = requests.ConnectionError("('Connection aborted.', ConnectionRefusedError(111))")
    with pytest.raises(WorldError, match=r"start web-1: the Docker engine went away"):
        _raise("start web-1", error)


def test_other_words_of_the_engine_are_passed_on() -> None:
    error = APIError("409", explanation="the name is taken")
    with pytest.raises(WorldError, match="Could not start web-1: the name is taken"):
        _raise("start web-1", error)


def test_a_sentence_for_the_user_is_left_as_it_is() -> None:
    with pytest.raises(WorldError, match=r"^The VPC still has members$"):
        _raise("delete", WorldError("The VPC still has members"))


def _raise(doing: str, error: Exception) -> None:
    with translated(doing):
        raise error
