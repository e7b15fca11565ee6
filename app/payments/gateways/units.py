"""How each gateway beside Stripe writes amounts (Stripe's table is in `payments.money`).

What has no line here is not taken: a currency that a gateway takes and we do not costs a sale, one
that is written in the wrong unit costs a hundred times its price.
"""

from __future__ import annotations

from typing import Final

from payments.money import EXPONENTS, OTHERS, GatewayUnits

# razorpay.com/docs/payments/international-payments (supported currencies, with the exponent of
# each) and razorpay.com/docs/api/orders/entity: amounts are in the smallest unit, which for a
# three-decimal currency must end in 0. Codes that ISO 4217 has withdrawn since are left out.
_RAZORPAY: Final = """
    AED ALL AMD ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BZD CAD CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD GBP GHS GIP GMD GNF GTQ GYD HKD HNL HTG
    HUF IDR ILS INR IQD ISK JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LKR LRD LSL MAD MDL MGA
    MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PEN PGK PHP PKR PLN PYG QAR
    RON RSD RUB RWF SAR SCR SEK SGD SOS SSP SVC SZL THB TND TRY TTD TWD TZS UAH UGX USD UYU UZS VND
    VUV XAF XCD XOF XPF YER ZAR ZMW
"""
_RAZORPAY_ZERO: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_RAZORPAY_THREE: Final = ("BHD", "IQD", "JOD", "KWD", "OMR", "TND")

RAZORPAY: Final = GatewayUnits(
    name="Razorpay",
    places={
        **{code: 2 for code in _RAZORPAY.split() if code in EXPONENTS},
        **dict.fromkeys(_RAZORPAY_ZERO.split(), 0),
        **dict.fromkeys(_RAZORPAY_THREE, 3),
    },
    steps=dict.fromkeys(_RAZORPAY_THREE, 10),
)

# developer.paypal.com/reference/currency-codes: amounts are decimal texts; three currencies have no
# decimals there, two of them (HUF, TWD) against ISO 4217.
_PAYPAL_TWO: Final = """
    AUD BRL CAD CNY CZK DKK EUR HKD ILS MYR MXN NZD NOK PHP PLN GBP SGD SEK CHF THB USD
"""

PAYPAL: Final = GatewayUnits(
    name="PayPal",
    places={**dict.fromkeys(_PAYPAL_TWO.split(), 2), **dict.fromkeys(("HUF", "JPY", "TWD"), 0)},
    steps={},
)

CRYPTOMUS_COINS: Final = ("BTC", "LTC", "TRX", "USDC", "USDT")
"""What a payer may send. Not ETH: it has 18 places, of which our books hold nine, and an amount is
never rounded."""

# doc.cryptomus.com, creating an invoice: a decimal text in a fiat currency or a coin. The list of
# fiat currencies is not published; these three are in its examples.
CRYPTOMUS: Final = GatewayUnits(
    name="Cryptomus",
    places={
        **dict.fromkeys(("USD", "EUR", "GBP"), 2),
        **{code: OTHERS[code] for code in CRYPTOMUS_COINS},
    },
    steps={},
)
