"""Fixtures of the site: see `tests.app.people.fixtures` and `tests.app.pages.fixtures`."""

from tests.app.pages.fixtures import *  # noqa: F403 - pytest finds fixtures by their names here
from tests.app.people.fixtures import *  # noqa: F403 - as above
