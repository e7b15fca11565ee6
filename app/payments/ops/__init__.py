"""Running the service: health, metrics, logs, headers, and who the client is.

`install` adds the health endpoints and the last catch of errors. The outermost middleware (request
context, security headers) is added by `payments.app`, because its order is the application's.
"""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Plug health and errors into the application."""
    from payments.ops.plug import plug  # here: logs and metrics are used by what plug needs

    plug(app)
