"""The ledger: accounts, transfers, entries, holds, and the functions that alone write them."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import op

from payments.schema.base import SCHEMA
from payments.schema.grants import grant, run_file
from payments.schema.prepare import APP_GROUP

revision = "0003_ledger"
down_revision = "0002_people"
branch_labels = None
depends_on = None

# ISO 4217 as of 2026-01-01: code and decimal places.
CURRENCIES = """
AED2 AFN2 ALL2 AMD2 AOA2 ARS2 AUD2 AWG2 AZN2 BAM2 BBD2 BDT2 BHD3 BIF0 BMD2 BND2 BOB2 BOV2 BRL2 BSD2
BTN2 BWP2 BYN2 BZD2 CAD2 CDF2 CHE2 CHF2 CHW2 CLF4 CLP0 CNY2 COP2 COU2 CRC2 CUP2 CVE2 CZK2 DJF0 DKK2
DOP2 DZD2 EGP2 ERN2 ETB2 EUR2 FJD2 FKP2 GBP2 GEL2 GHS2 GIP2 GMD2 GNF0 GTQ2 GYD2 HKD2 HNL2 HTG2 HUF2
IDR2 ILS2 INR2 IQD3 IRR2 ISK0 JMD2 JOD3 JPY0 KES2 KGS2 KHR2 KMF0 KPW2 KRW0 KWD3 KYD2 KZT2 LAK2 LBP2
LKR2 LRD2 LSL2 LYD3 MAD2 MDL2 MGA2 MKD2 MMK2 MNT2 MOP2 MRU2 MUR2 MVR2 MWK2 MXN2 MXV2 MYR2 MZN2 NAD2
NGN2 NIO2 NOK2 NPR2 NZD2 OMR3 PAB2 PEN2 PGK2 PHP2 PKR2 PLN2 PYG0 QAR2 RON2 RSD2 RUB2 RWF0 SAR2 SBD2
SCR2 SDG2 SEK2 SGD2 SHP2 SLE2 SOS2 SRD2 SSP2 STN2 SVC2 SYP2 SZL2 THB2 TJS2 TMT2 TND3 TOP2 TRY2 TTD2
TWD2 TZS2 UAH2 UGX0 USD2 USN2 UYI0 UYU2 UYW4 UZS2 VED2 VES2 VND0 VUV0 WST2 XAD2 XAF0 XCD2 XCG2 XOF0
XPF0 YER2 ZAR2 ZMW2 ZWG2
"""

FUNCTIONS = (
    "ledger_post(jsonb)",
    "ledger_reverse(uuid, text)",
    "ledger_hold(text, text, text, text, bigint, timestamptz, text)",
    "ledger_hold_post(uuid, jsonb)",
    "ledger_hold_void(uuid)",
    "ledger_expire_holds(integer)",
)


def upgrade() -> None:
    """Create it; the app may read all of it and write only through the functions."""
    for part in ("tables", "functions", "holds"):
        run_file(Path(__file__).with_name(f"0003_ledger_{part}.sql"))
    op.bulk_insert(
        sa.table(
            "currencies",
            sa.column("code"),
            sa.column("exponent", sa.SmallInteger),
            sa.column("kind"),
            schema=SCHEMA,
        ),
        [
            {"code": line[:3], "exponent": int(line[3:]), "kind": "iso"}
            for line in CURRENCIES.split()
        ],
    )
    grant(
        "SELECT",
        "currencies",
        "ledger_purposes",
        "ledger_accounts",
        "ledger_holds",
        "ledger_transfers",
        "ledger_entries",
    )
    for function in FUNCTIONS:
        op.execute(f"GRANT EXECUTE ON FUNCTION {SCHEMA}.{function} TO {APP_GROUP}")


def downgrade() -> None:
    """Migrations go forward only: money was posted since. Write a new one."""
    raise NotImplementedError("migrations go forward only; write a new one")
