"""The parameters of PayPal's calls, as far as they are simulated; anything else is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from twin.gateways.common.jsonapi import Body, Query


def _web(value: str) -> str:
    if not value.startswith(("https://", "http://")) or " " in value:
        raise ValueError("not a URL")
    return value


Text22 = Annotated[str, StringConstraints(min_length=1, max_length=22)]
Text50 = Annotated[str, StringConstraints(min_length=1, max_length=50)]
Text100 = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Text127 = Annotated[str, StringConstraints(min_length=1, max_length=127)]
Text254 = Annotated[str, StringConstraints(min_length=1, max_length=254)]
Text255 = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Text256 = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text500 = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Text2000 = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Text2048 = Annotated[str, StringConstraints(min_length=0, max_length=2048)]
Web = Annotated[str, StringConstraints(max_length=4000), AfterValidator(_web)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$")]
Moment = Annotated[
    str,
    StringConstraints(
        pattern=r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}([.]\d+)?([Zz]|[+-]\d{2}:?\d{2})$"
    ),
]


class Money(Body):
    """An amount."""

    currency_code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    value: Annotated[
        str, StringConstraints(max_length=32, pattern=r"^((-?[0-9]+)|(-?([0-9]+)?[.][0-9]+))$")
    ]


class Breakdown(Body):
    """What an amount consists of."""

    item_total: Money | None = None
    shipping: Money | None = None
    handling: Money | None = None
    tax_total: Money | None = None
    insurance: Money | None = None
    shipping_discount: Money | None = None
    discount: Money | None = None


class AmountWithBreakdown(Money):
    """An order's amount."""

    breakdown: Breakdown | None = None


class Item(Body):
    """A line of a purchase."""

    name: Text127
    quantity: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,9}$")]
    unit_amount: Money
    tax: Money | None = None
    description: Text2048 | None = None
    sku: Text127 | None = None
    category: Literal["DIGITAL_GOODS", "PHYSICAL_GOODS", "DONATION"] | None = None


class PurchaseUnit(Body):
    """What is bought."""

    amount: AmountWithBreakdown
    reference_id: Text256 = "default"
    description: Text127 | None = None
    custom_id: Text255 | None = None
    invoice_id: Text127 | None = None
    soft_descriptor: Text22 | None = None
    items: list[Item] | None = None


class ExperienceContext(Body):
    """How the payer is led, and where to afterwards."""

    brand_name: Text127 | None = None
    locale: Locale | None = None
    landing_page: (
        Literal["LOGIN", "GUEST_CHECKOUT", "NO_PREFERENCE", "BILLING", "UNRESTRICTED"] | None
    ) = None
    shipping_preference: Literal["GET_FROM_FILE", "NO_SHIPPING", "SET_PROVIDED_ADDRESS"] | None = (
        None
    )
    user_action: Literal["CONTINUE", "PAY_NOW"] | None = None
    contact_preference: (
        Literal["NO_CONTACT_INFO", "UPDATE_CONTACT_INFO", "RETAIN_CONTACT_INFO"] | None
    ) = None
    payment_method_preference: Literal["UNRESTRICTED", "IMMEDIATE_PAYMENT_REQUIRED"] | None = None
    return_url: Web | None = None
    cancel_url: Web | None = None


class PayPalSource(Body):
    """A PayPal wallet as payment source."""

    experience_context: ExperienceContext = ExperienceContext()
    email_address: Text254 | None = None


class Source(Body):
    """How the order is paid."""

    paypal: PayPalSource


class NewOrder(Body):
    """POST /v2/checkout/orders."""

    intent: Literal["CAPTURE", "AUTHORIZE"]
    purchase_units: Annotated[list[PurchaseUnit], Field(min_length=1, max_length=10)]
    payment_source: Source | None = None
    application_context: ExperienceContext | None = None


class Empty(Body):
    """No parameters."""


class NewRefund(Body):
    """POST /v2/payments/captures/{id}/refund; without an amount, all that is left."""

    amount: Money | None = None
    custom_id: Text127 | None = None
    invoice_id: Text127 | None = None
    note_to_payer: Text255 | None = None


class NewCapture(Body):
    """POST /v2/payments/authorizations/{id}/capture."""

    amount: Money | None = None
    final_capture: bool = False
    invoice_id: Text127 | None = None
    note_to_payer: Text255 | None = None
    soft_descriptor: Text22 | None = None


class Verification(Body):
    """POST /v1/notifications/verify-webhook-signature."""

    auth_algo: Text100
    cert_url: Text500
    transmission_id: Text50
    transmission_sig: Text500
    transmission_time: Text100
    webhook_id: Text50
    webhook_event: dict[str, Any]


class Claim(Body):
    """POST /v1/customer/disputes/{id}/accept-claim."""

    note: Text2000 | None = None
    accept_claim_reason: (
        Literal[
            "DID_NOT_SHIP_ITEM",
            "TOO_TIME_CONSUMING",
            "LOST_IN_MAIL",
            "NOT_ABLE_TO_WIN",
            "COMPANY_POLICY",
            "REASON_NOT_SET",
        ]
        | None
    ) = None


class Fields(Query):
    """GET of an order."""

    fields: str | None = None


class Transactions(Query):
    """GET /v1/reporting/transactions."""

    start_date: Moment
    end_date: Moment
    transaction_id: Annotated[str, StringConstraints(min_length=17, max_length=19)] | None = None
    transaction_status: Literal["D", "P", "S", "V"] | None = None
    transaction_type: str | None = None
    transaction_currency: str | None = None
    fields: str = "transaction_info"
    balance_affecting_records_only: Literal["Y", "N"] = "Y"
    page_size: Annotated[int, Field(ge=1, le=500)] = 100
    page: Annotated[int, Field(ge=1, le=2_147_483_647)] = 1


class Disputes(Query):
    """GET /v1/customer/disputes."""

    start_time: Moment | None = None
    disputed_transaction_id: Text255 | None = None
    page_size: Annotated[int, Field(ge=1, le=50)] = 10
    next_page_token: str | None = None
    dispute_state: str | None = None
    update_time_before: Moment | None = None
    update_time_after: Moment | None = None
