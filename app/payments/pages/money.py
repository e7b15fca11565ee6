"""Amounts for people to read: whole minor units in, text out, nothing in between that rounds."""

from __future__ import annotations

from payments.money import Money

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "INR": "₹"}
_MINUS = "\N{MINUS SIGN}"
_NARROW_SPACE = "\N{NARROW NO-BREAK SPACE}"


def amount_text(money: Money, *, sign: bool = False) -> str:
    """Return `€1,234.50`, `¥500`, or `1.234` for KWD; with `sign` a plus for what came in."""
    whole, fraction = divmod(abs(money.amount), 10**money.exponent)
    digits = f"{whole:,}" + (f".{fraction:0{money.exponent}d}" if money.exponent else "")
    mark = _MINUS if money.amount < 0 else "+" if sign and money.amount else ""
    return f"{mark}{_NARROW_SPACE if mark else ''}{_SYMBOLS.get(money.currency, '')}{digits}"
