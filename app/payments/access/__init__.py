"""Who may administer the service: people and programs that Cloudflare Access vouches for.

Access stands at the edge in front of `/admin` and `/api/admin` and signs, for each request it lets
through, who sent it. The service believes that signature and nothing else: not the edge's other
headers, not that a request came through the tunnel. Without settings there is no admin: 404.
"""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Set `app.state.access` and guard the admin's paths."""
    from payments.access.plug import plug  # here: the settings import only our config

    plug(app)
