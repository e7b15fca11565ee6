"""Every table of the service, imported so that Alembic can compare them with the database."""

from __future__ import annotations

from payments.api_keys import models as api_keys
from payments.disputes import models as disputes
from payments.idempotency import models as idempotency
from payments.inbox import models as inbox
from payments.ledger import models as ledger
from payments.orders import models as orders
from payments.payouts import models as payouts
from payments.people import models as people
from payments.receipts import models as receipts
from payments.reconcile import models as reconcile
from payments.refunds import models as refunds
from payments.schema.base import Base
from payments.subscriptions import models as subscriptions
from payments.webhooks_out import models as webhooks_out

ALL = (
    api_keys,
    disputes,
    idempotency,
    inbox,
    ledger,
    orders,
    payouts,
    people,
    receipts,
    reconcile,
    refunds,
    subscriptions,
    webhooks_out,
)

metadata = Base.metadata
