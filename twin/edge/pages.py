"""The edge's own pages: what a visitor sees when a request does not reach an origin.

Statuses and error codes are Cloudflare's (developers.cloudflare.com, "Cloudflare 1xxx errors" and
"5xx errors"): 530 carries a 1xxx code, 502, 504 and 524 tell of an origin that did not answer.
"""

from __future__ import annotations

import html

from multidict import CIMultiDict

from twin.edge.exchange import Reply

_TEXTS = {
    400: ("Bad request", "The edge could not read the request."),
    403: (
        "Sorry, you have been blocked",
        "The request looked like an attack and was refused. The site's owner can say more, by its "
        "ray ID.",
    ),
    1001: ("DNS resolution error", "No zone of this account has a record for the requested host."),
    1010: (
        "Access denied",
        "The owner of this website has banned your access based on your browser's signature.",
    ),
    1015: ("You are being rate limited", "You have sent too many requests; please wait a while."),
    1020: ("Access denied", "A rule of this website's firewall refuses this request."),
    1016: ("Origin DNS error", "The host has no record that leads to an origin."),
    1033: ("Cloudflare Tunnel error", "No connector of the host's tunnel is connected."),
    500: ("Internal server error", "The edge could not inspect the request."),
    413: ("Payload too large", "The request's body is larger than the zone's plan allows."),
    502: ("Bad gateway", "The service behind the tunnel is down or refuses connections."),
    503: ("Service unavailable", "The tunnel has no ingress rule for this host."),
    504: ("Gateway time-out", "The connector could not connect to the service in time."),
    520: ("Web server is returning an unknown error", "The origin hung up without an answer."),
    521: ("Web server is down", "The origin refused the connection."),
    522: ("Connection timed out", "The origin did not answer the connection."),
    523: ("Origin is unreachable", "There is no way to the origin's address."),
    525: ("SSL handshake failed", "Edge and origin could not agree on a TLS connection."),
    526: ("Invalid SSL certificate", "The origin's certificate is not valid for this host."),
    524: ("A timeout occurred", "The service accepted the request and did not answer in time."),
}
_STATUS = {1001: 404, 1010: 403, 1015: 429, 1016: 530, 1020: 403, 1033: 530}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title} | {host}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 15vh auto;
  padding: 0 1rem }}
h1 {{ font-size: 1.8rem; margin: 0 }} small {{ opacity: .7 }} code {{ overflow-wrap: anywhere }}
</style></head><body><main>
<h1>Error {code} <small>{title}</small></h1>
<p>{text}</p>
<p><small>Host <code>{host}</code> &middot; Ray ID <code>{ray}</code> &middot;
the twin's edge</small></p>
</main></body></html>
"""


def error(code: int, *, host: str, ray: str) -> Reply:
    """Return the page for an error code; a 1xxx code comes with the status that carries it."""
    title, text = _TEXTS[code]
    body = _PAGE.format(
        code=code, title=title, text=text, host=html.escape(host), ray=html.escape(ray)
    )
    headers = CIMultiDict(
        {
            "Content-Type": "text/html; charset=UTF-8",
            "Cache-Control": "private, max-age=0, no-store",
            "X-Frame-Options": "SAMEORIGIN",
            "Referrer-Policy": "same-origin",
        }
    )
    return Reply(
        status=_STATUS.get(code, code), headers=headers, body=body.encode(errors="replace")
    )
