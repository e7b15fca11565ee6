"""Every table of the service, imported so that Alembic can compare them with the database."""

from __future__ import annotations

from payments.people import models as people  # noqa: F401 - imported for its tables
from payments.schema.base import Base

metadata = Base.metadata
