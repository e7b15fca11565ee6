"""How PayPal tells events (developer.paypal.com/api/rest/webhooks, read 2026-11).

The signature covers `transmission id|time|webhook id|crc32 of the body`: the body itself only by
that checksum. An event is tried again 25 times within three days.
"""

from __future__ import annotations

import json
import time
import uuid
import zlib
from collections.abc import Sequence

from twin.gateways.common.tables import Book, Object, new_id
from twin.gateways.common.webhooks import Dialect
from twin.gateways.paypal.certificates import ALGORITHM, Certificates

API = "https://api-m.paypal.test"
RETRIES = (2, 5, 15, 60, 300, 900, 1800, *[3600 * 4] * 18)
"""Seconds after each failed attempt: 25 of them within three days."""
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
UPPER = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class PayPalDialect(Dialect):
    """PayPal's webhooks. A secret here is the id of a certificate."""

    retries = RETRIES
    timeout = 30.0

    def __init__(self, certificates: Certificates, webhook_id: str) -> None:
        self._certificates = certificates
        self._webhook_id = webhook_id

    def write(
        self, event: Object, delivery: Object, secrets: Sequence[str], at: float
    ) -> tuple[str, dict[str, str]]:
        """Write the event, signed with the newest certificate."""
        body = payload(event["body"])
        id, when = str(uuid.uuid5(_NAMESPACE, delivery["id"])), moment(at)
        certificate = secrets[0]
        signature = self._certificates.sign(certificate, message(id, when, self._webhook_id, body))
        return body, {
            "Content-Type": "application/json",
            "User-Agent": "PayPal/AUHD-1.0-1",
            "PAYPAL-TRANSMISSION-ID": id,
            "PAYPAL-TRANSMISSION-TIME": when,
            "PAYPAL-TRANSMISSION-SIG": signature,
            "PAYPAL-CERT-URL": f"{API}/v1/notifications/certs/{certificate}",
            "PAYPAL-AUTH-ALGO": ALGORITHM,
            "PAYPAL-AUTH-VERSION": "v2",
        }

    def fresh_secret(self) -> str:
        """Make another key and certificate."""
        return self._certificates.issue()

    def verify(self, given: Object, sent: Object | None) -> bool:
        """Return whether a signature that a merchant asks about is ours for the event we sent."""
        if sent is None or given["webhook_event"] != sent["body"]:
            return False
        place = f"{API}/v1/notifications/certs/"
        if given["auth_algo"] != ALGORITHM or given["webhook_id"] != self._webhook_id:
            return False
        text = message(
            given["transmission_id"],
            given["transmission_time"],
            self._webhook_id,
            payload(sent["body"]),
        )
        certificate = given["cert_url"].removeprefix(place)
        return self._certificates.check(certificate, text, given["transmission_sig"])


def payload(event: Object) -> str:
    """Return an event's body as it is sent."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)


def message(id: str, when: str, webhook_id: str, body: str) -> str:
    """Return what is signed."""
    return f"{id}|{when}|{webhook_id}|{zlib.crc32(body.encode())}"


def moment(at: float) -> str:
    """Write a moment as PayPal does."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def emit(book: Book, type: str, resource_type: str, resource: Object, summary: str) -> None:
    """Tell of something that happened; only inside a transaction."""
    id = f"WH-{new_id('', 17, UPPER)}-{new_id('', 17, UPPER)}"
    now = time.time()
    address = f"{API}/v1/notifications/webhooks-events/{id}"
    body = {
        "id": id,
        "event_version": "1.0",
        "create_time": moment(now),
        "resource_type": resource_type,
        "resource_version": "2.0",
        "event_type": type,
        "summary": summary,
        "resource": resource,
        "links": [
            {"href": address, "rel": "self", "method": "GET"},
            {"href": f"{address}/resend", "rel": "resend", "method": "POST"},
        ],
    }
    book.record({"id": id, "type": type, "created": int(now), "body": body})
