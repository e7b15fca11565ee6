"""The accounts that the tests' programs run in, and contexts that know them."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

from twin.protocol.resource import Context

DO_TOKEN = "dop_v1_" + "a" * 64
SPACES_ID, SPACES_SECRET = "DO00TESTTESTTESTTEST", "spaces-secret"
CF_TOKEN = "cf-token-of-the-account"
ACCOUNT_ID, ZONE_ID, FREE_ZONE_ID = "b" * 32, "a" * 32, "c" * 32
ACCOUNT: dict[str, Any] = {
    "digitalocean": {
        "token": DO_TOKEN,
        "spaces_access_id": SPACES_ID,
        "spaces_secret_key": SPACES_SECRET,
    },
    "cloudflare": {
        "api_token": CF_TOKEN,
        "accounts": [{"id": ACCOUNT_ID, "name": "tests"}],
        "zones": [
            {
                "id": ZONE_ID,
                "name": "payments.localhost",
                "plan": "pro",
                "account_id": ACCOUNT_ID,
            },
            {"id": FREE_ZONE_ID, "name": "free.test", "plan": "free", "account_id": ACCOUNT_ID},
        ],
    },
}
DO_CONFIG = {
    "token": DO_TOKEN,
    "spacesAccessId": SPACES_ID,
    "spacesSecretKey": SPACES_SECRET,
}
CF_CONFIG = {"apiToken": CF_TOKEN}
SSH_KEY = (
    "ssh-ed25519 "
    + base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))).decode()
    + " deploy@laptop"
)


def known(ctx: Context, config: dict[str, Any]) -> Context:
    """The context of a configured provider instance in the tests' accounts."""
    return replace(ctx, account=ACCOUNT, config=config)
