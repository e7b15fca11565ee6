"""Fixtures of the site: see `tests.app.people.fixtures`."""

from tests.app.people.fixtures import *  # noqa: F403 - pytest finds fixtures by their names here
