"""Currencies and amounts as Razorpay takes them (razorpay.com/docs, international payments).

Amounts are integers in the currency's smallest unit, ISO 4217's exponent deciding; of the three
decimals of some currencies the last must be 0.
"""

from __future__ import annotations

from twin.gateways.razorpay.errors import bad

_SUPPORTED = """
    AED ALL AMD ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BZD CAD CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD GBP GHS GIP GMD GNF GTQ GYD HKD HNL HRK
    HTG HUF IDR ILS INR IQD ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LKR LRD LSL MAD MDL
    MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PEN PGK PHP PKR PLN PYG
    QAR RON RSD RUB RWF SAR SCR SEK SGD SLL SOS SSP SVC SZL THB TND TRY TTD TWD TZS UAH UGX USD UYU
    UZS VND VUV XAF XCD XOF XPF YER ZAR ZMW
"""
CURRENCIES = frozenset(_SUPPORTED.split())
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
ZERO_DECIMAL = frozenset(_NO_DECIMALS.split())
THREE_DECIMAL = frozenset({"BHD", "IQD", "JOD", "KWD", "OMR", "TND"})
LEAST_INR = 100
"""One rupee, for a payment and for a refund; other currencies have no published least."""
_SIGNS = {"INR": "₹", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥"}


def decimals(currency: str) -> int:
    """Return how many decimals the gateway's amounts of a currency have."""
    if currency in ZERO_DECIMAL:
        return 0
    return 3 if currency in THREE_DECIMAL else 2


def display(amount: int, currency: str) -> str:
    """Write an amount for people."""
    places = decimals(currency)
    whole, rest = divmod(abs(amount), 10**places)
    digits = f"{whole:,}" + (f".{rest:0{places}d}" if places else "")
    sign = _SIGNS.get(currency)
    return f"{sign}{digits}" if sign else f"{digits} {currency}"


def check_amount(amount: int, currency: str, what: str = "Order amount") -> None:
    """Raise for an amount that cannot be asked for, or for a currency that is not taken."""
    if currency not in CURRENCIES:
        raise bad("Currency is not supported", "currency")
    if currency in THREE_DECIMAL and amount % 10:
        raise bad(
            f"{what} of {currency} must have 0 as its last decimal, as in {amount // 10 * 10}.",
            "amount",
        )
    if currency == "INR" and amount < LEAST_INR:
        raise bad(f"{what} less than minimum amount allowed", "amount")


def fee_of(amount: int) -> tuple[int, int]:
    """Return what is kept of a captured amount: the fee (2 % and its tax) and the tax (18 %)."""
    bare = amount * 2 // 100
    tax = bare * 18 // 100
    return bare + tax, tax
