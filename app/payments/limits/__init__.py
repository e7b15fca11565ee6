"""How often one visitor may ask: exact limits, shared by all replicas.

The table is the environment's (`PAYMENTS_RATE_LIMITS`), the same that the edge was programmed
from; the edge enforces what its plan can say, this package every row as it stands.
"""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Put every request under the limits. Needs `app.state.clock` when a request comes."""
    from payments.limits.plug import plug  # here: the settings import only our rules

    plug(app)
