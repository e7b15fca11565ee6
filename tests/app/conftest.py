"""The service's tests: its package on the path, its backends, and an application for each test.

They need the service's environment (`app/.venv`); the infrastructure's run leaves them out.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from hypothesis import settings as hypothesis_settings

hypothesis_settings.register_profile("untimed", deadline=None)  # a loaded machine is no answer
hypothesis_settings.load_profile("untimed")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "app"))

if find_spec("asyncpg") is None:
    collect_ignore_glob = ["*"]
else:
    from tests.app.fixtures import *  # noqa: F403 - pytest finds fixtures by their names here
