"""Transaction search (developer.paypal.com/docs/api/transaction-search/v1): captures and refunds.

At PayPal a transaction takes up to three hours to be found there; here it is at once.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta

from twin.gateways.common.tables import Book, Object
from twin.gateways.paypal import money
from twin.gateways.paypal.errors import issue, refusal
from twin.gateways.paypal.orders import MERCHANT, link
from twin.gateways.paypal.shapes import Transactions
from twin.gateways.paypal.webhooks import moment

LONGEST = timedelta(days=31)
_STATUS = {"COMPLETED": "S", "PENDING": "P", "DECLINED": "D", "FAILED": "D"}
_CHECKOUT, _REFUND = "T0006", "T1107"
"""Event codes: an Express Checkout payment, a refund of one by the merchant."""


def instant(text: str) -> datetime:
    """Read a moment that PayPal's shapes let through."""
    text = re.sub(r"[+-]\d{4}$", lambda zone: zone[0][:3] + ":" + zone[0][3:], text.upper())
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        told = "The value of a field does not conform to the expected format."
        raise refusal("INVALID_REQUEST", issue("INVALID_PARAMETER_SYNTAX", told)) from None


def transactions(book: Book, wanted: Transactions) -> Object:
    """Return a page of the transactions of a period of at most 31 days, the oldest first."""
    start, end = instant(wanted.start_date), instant(wanted.end_date)
    if end < start or end - start > LONGEST:
        told = "Date range is greater than 31 days"
        if end < start:
            told = "End date should be greater than start date"
        raise refusal("INVALID_REQUEST", issue("INVALID_DATE_RANGE", told))
    found = []
    for kind in ("capture", "refund"):
        for _, each in book.tables[kind].items():
            made = datetime.fromtimestamp(each["_created"], UTC)
            info = _info(book, kind, each)
            if start <= made <= end and _wanted(info, wanted):
                found.append((each["_created"], info))
    found.sort(key=lambda pair: pair[0])
    begin = (wanted.page - 1) * wanted.page_size
    pages = math.ceil(len(found) / wanted.page_size)
    return {
        "transaction_details": [
            {"transaction_info": info} for _, info in found[begin : begin + wanted.page_size]
        ],
        "account_number": MERCHANT,
        "start_date": wanted.start_date,
        "end_date": wanted.end_date,
        "last_refreshed_datetime": moment(time.time()),
        "page": wanted.page,
        "total_items": len(found),
        "total_pages": pages,
        "links": [link("/v1/reporting/transactions", "self")],
    }


def _wanted(info: Object, wanted: Transactions) -> bool:
    asked = {
        "transaction_id": wanted.transaction_id,
        "transaction_status": wanted.transaction_status,
        "transaction_event_code": wanted.transaction_type,
    }
    currency = wanted.transaction_currency
    return all(value is None or info[name] == value for name, value in asked.items()) and (
        currency is None or info["transaction_amount"]["currency_code"] == currency
    )


def _info(book: Book, kind: str, each: Object) -> Object:
    currency = each["amount"]["currency_code"]
    refund = kind == "refund"
    amount = -each["_amount"] if refund else each["_taken"]
    fee = 0 if refund else -each["_fee"]
    info: Object = {
        "paypal_account_id": MERCHANT,
        "transaction_id": each["id"],
        "paypal_reference_id": each["_capture"] if refund else each["_order"],
        "paypal_reference_id_type": "TXN" if refund else "ODR",
        "transaction_event_code": _REFUND if refund else _CHECKOUT,
        "transaction_initiation_date": moment(each["_created"]).replace("Z", "+0000"),
        "transaction_updated_date": each["update_time"].replace("Z", "+0000"),
        "transaction_amount": money.write(amount, currency),
        "fee_amount": money.write(fee, currency),
        # A capture that was refunded succeeded all the same.
        "transaction_status": _STATUS.get(each["status"], "S"),
        "protection_eligibility": "01",
    }
    for name, value in (("invoice_id", "invoice_id"), ("custom_field", "custom_id")):
        if each.get(value):
            info[name] = each[value]
    return info
