"""Currencies and amounts as the gateway takes them (docs.stripe.com/currencies, read 2026-11).

Amounts are integers in the currency's smallest unit as *Stripe* counts it: that is not ISO 4217's
exponent for ISK and UGX, which have no minor unit and yet are passed with two zeros.
"""

from __future__ import annotations

from twin.gateways.stripe.errors import StripeError, invalid

_SUPPORTED = """
    usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp
    byn bzd cad cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd
    gnf gtq gyd hkd hnl htg huf idr ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp
    lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd omr pab
    pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle sos srd std szl thb tjs
    tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw
"""
CURRENCIES = frozenset(_SUPPORTED.split())
_NO_DECIMALS = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
ZERO_DECIMAL = frozenset(_NO_DECIMALS.split())
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
WHOLE_UNITS = frozenset({"isk", "ugx"})
"""Passed with two decimals that must be zeros."""
MINIMUMS = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000,
    "myr": 200, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
"""The least charge. Others must be worth 50 US cents after conversion, which is not modelled."""
LARGEST = 99_999_999
"""Eight digits, whatever the currency."""
_SIGNS = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥", "inr": "₹", "cad": "CA$", "aud": "A$"}


def decimals(currency: str) -> int:
    """Return how many decimals the gateway's amounts of a currency have."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def display(amount: int, currency: str) -> str:
    """Write an amount for people: `$12.50`, `¥500`, `1.250 KWD`."""
    places = decimals(currency)
    whole, rest = divmod(abs(amount), 10**places)
    digits = f"{whole:,}" + (f".{rest:0{places}d}" if places else "")
    if currency in WHOLE_UNITS and not rest:
        digits = f"{whole:,}"
    minus = "-" if amount < 0 else ""
    sign = _SIGNS.get(currency)
    return f"{minus}{sign}{digits}" if sign else f"{minus}{digits} {currency.upper()}"


def check_currency(currency: str, param: str) -> str:
    """Return the currency in lower case; raises when the gateway does not take it."""
    lower = currency.lower()
    if lower not in CURRENCIES:
        raise invalid(
            f"Invalid currency: {currency}. Stripe currently supports these currencies: "
            + ", ".join(sorted(CURRENCIES)),
            param,
        )
    return lower


def check_amount(amount: int, currency: str, param: str, *, least: bool = True) -> None:
    """Raise when an amount cannot be charged (or, without `least`, cannot be refunded)."""
    if amount > LARGEST:
        raise StripeError(
            400,
            f"Amount must be no more than {display(LARGEST, currency)}",
            code="amount_too_large",
            param=param,
        )
    if currency in THREE_DECIMAL and amount % 10:
        raise invalid(
            f"Invalid amount: {currency.upper()} amounts must be a multiple of 10 "
            "(the last of the three decimals must be 0).",
            param,
        )
    if currency in WHOLE_UNITS and amount % 100:
        raise invalid(
            f"Invalid amount: {currency.upper()} amounts must be a multiple of 100.", param
        )
    minimum = MINIMUMS.get(currency, 1)
    if least and amount < minimum:
        raise StripeError(
            400,
            f"Amount must be at least {display(minimum, currency)} {currency}",
            code="amount_too_small",
            param=param,
        )
