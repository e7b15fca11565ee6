"""Every table of the service, imported so that Alembic can compare them with the database."""

from __future__ import annotations

from payments.idempotency import models as idempotency
from payments.inbox import models as inbox
from payments.ledger import models as ledger
from payments.orders import models as orders
from payments.people import models as people
from payments.schema.base import Base

ALL = (idempotency, inbox, ledger, orders, people)

metadata = Base.metadata
