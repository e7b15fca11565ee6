"""The real stack files as a test's configuration: encrypted values filled in, files in place."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
STACKS: Final = ("local", "staging", "prod")

PUBLIC_KEY: Final = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINF3CoT9JW2IQTazQNdBeXlBxnnJskTDr40AqgCUpFZy test"
)
CERTIFICATE: Final = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

SECRETS: Final = {
    "digitalocean:token": "dop_v1_" + "5e" * 32,
    "digitalocean:spacesAccessId": "DO00SECRETID",
    "digitalocean:spacesSecretKey": "spaces-provider-secret",
    "cloudflare:apiToken": "cloudflare-secret-token",
    "payments:stripe-webhook-secrets": "whsec_first,whsec_second",
    "payments:razorpay-key-secret": "razorpay-made-up-secret",
    "payments:razorpay-webhook-secrets": "razorpay-first,razorpay-second",
    "payments:paypal-client-secret": "paypal-made-up-secret",
    "payments:cryptomus-api-key": "cryptomus-made-up-key",
    "payments:registry-password": "registry-secret-password",
    "payments:access-idp-client-secret": "GOCSPX-made-up-secret",
}


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """A stack's configuration values and which of them are secret."""

    values: dict[str, Any]
    secrets: tuple[str, ...]

    def changed(self, key: str, value: Any) -> StackConfig:
        """With one value replaced; `payments:host.size` reaches into a mapping, None removes."""
        values = copy.deepcopy(self.values)
        head, _, path = key.partition(".")
        place, last = values, head
        for part in path.split(".") if path else ():
            place, last = place.setdefault(last, {}), part
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
        return StackConfig(values=values, secrets=self.secrets)

    def with_secrets(self, secrets: Mapping[str, str]) -> StackConfig:
        """With further secrets."""
        return StackConfig(
            values={**self.values, **secrets}, secrets=(*self.secrets, *secrets.keys())
        )

    def without_secrecy(self, key: str) -> StackConfig:
        """With one secret left as plain text."""
        return StackConfig(
            values=self.values, secrets=tuple(name for name in self.secrets if name != key)
        )


def read(stack: str) -> StackConfig:
    """The configuration of `Pulumi.<stack>.yaml` as the program gets it."""
    file = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    values = {key: value for key, value in file["config"].items() if not _encrypted(value)}
    live = "live" if values["payments:environment"] == "production" else "test"
    secrets = {**SECRETS, "payments:stripe-secret-key": f"sk_{live}_made_up_key"}
    return StackConfig(values={**values, **secrets}, secrets=tuple(secrets))


def _encrypted(value: Any) -> bool:
    return isinstance(value, dict) and "secure" in value


def project(folder: Path) -> Path:
    """A project's folder with the real stack files and what `make up` would have written."""
    for stack in STACKS:
        shutil.copy(ROOT / f"Pulumi.{stack}.yaml", folder)
    (folder / ".local" / "ssh").mkdir(parents=True)
    (folder / ".local" / "ssh" / "id_ed25519.pub").write_text(PUBLIC_KEY + "\n")
    (folder / ".local" / "ssh" / "config").write_text("Host *\n")
    (folder / ".local" / "ca.pem").write_text(CERTIFICATE)
    return folder
