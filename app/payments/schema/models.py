"""Every table of the service, imported so that Alembic can compare them with the database."""

from __future__ import annotations

from payments.ledger import models as ledger
from payments.people import models as people
from payments.schema.base import Base

ALL = (ledger, people)

metadata = Base.metadata
