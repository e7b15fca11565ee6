"""What an instance is made of before anything runs: accounts, keys, its effective stack file.

Everything random is made once and kept, so that a second `make up` changes nothing.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tools import gateways, stackfile
from tools.passphrase import Crypter
from tools.paths import ROOT, STACK, Home, write_private

DEFAULT_PORT = 8443
Json = dict[str, Any]


def settings(home: Home) -> Json:
    """What was chosen for this instance and is remembered: its port."""
    try:
        found = json.loads((home.path / "settings.json").read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def save_settings(home: Home, values: Json) -> None:
    """Remember them."""
    write_private(home.path / "settings.json", json.dumps(values))


def passphrase_file(home: Home) -> Path:
    """The passphrase of the instance's encrypted values, made once."""
    path = home.path / "passphrase"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(24))
    return path


def prepare_ssh(home: Home) -> None:
    """The key that the droplets admit, and the client's configuration; made once."""
    folder = home.path / "ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    private, public = folder / "id_ed25519", folder / "id_ed25519.pub"
    if not private.exists() or not public.exists():
        key = Ed25519PrivateKey.generate()
        openssh = serialization.PublicFormat.OpenSSH
        line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, openssh).decode()
        write_private(public, f"{line} {home.instance}\n")
        write_private(
            private,
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.OpenSSH,
                serialization.NoEncryption(),
            ).decode(),
        )
    write_private(folder / "config", ssh_config(home))


def ssh_config(home: Home) -> str:
    """How `ssh -F` reaches this instance's droplets, and nothing else of the person's settings."""
    folder = home.path / "ssh"
    return f"""# SSH behind Access. What `cloudflared access ssh` is for the real one: it takes
# TUNNEL_SERVICE_TOKEN_ID and TUNNEL_SERVICE_TOKEN_SECRET (the stack's output service_tokens).
Host ssh.*.localhost ssh-*.*.localhost
  ProxyCommand env PYTHONPATH="{ROOT}" "{ROOT}/.venv/bin/python" -m twin.access.ssh "{home.path}" %h
  ControlMaster no
  ControlPath none

Host *
  User deploy
  IdentityFile "{folder}/id_ed25519"
  IdentitiesOnly yes
  UserKnownHostsFile "{folder}/known_hosts"
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking accept-new
  ConnectTimeout 10
  ServerAliveInterval 5
  ServerAliveCountMax 3
  BatchMode yes
  LogLevel ERROR
  ControlMaster auto
  ControlPath {home.run_dir}/ssh/%C
  ControlPersist 20
"""


def account(home: Home, config: Mapping[str, Any], port: int) -> Json:
    """The accounts as they stand before the program runs; keys are made once and kept."""
    kept: Json = {}
    path = home.path / "account.json"
    if path.exists():
        kept = json.loads(path.read_text())
    ocean = kept.get("digitalocean") or {
        "token": "dop_v1_" + secrets.token_hex(32),
        "spaces_access_id": "DO00" + _letters(16, string.ascii_uppercase + string.digits),
        "spaces_secret_key": secrets.token_urlsafe(33)[:43],
    }
    stripe = kept.get("stripe") or {
        "secret_key": "sk_test_" + _letters(24),
        "webhook_endpoints": [{"secret": "whsec_" + _letters(32)}],
    }
    flare = kept.get("cloudflare") or {"api_token": _letters(40)}
    google = kept.get("google_workspace") or {"client_secret": "GOCSPX-" + _letters(28)}
    return describe_account(
        config,
        port,
        digitalocean=ocean,
        api_token=flare["api_token"],
        stripe_key=stripe["secret_key"],
        webhook_secret=stripe["webhook_endpoints"][0]["secret"],
        google_secret=google["client_secret"],
        kept=kept,
    )


def describe_account(
    config: Mapping[str, Any],
    port: int,
    *,
    digitalocean: Json,
    api_token: str,
    stripe_key: str,
    webhook_secret: str,
    google_secret: str = "",
    kept: Mapping[str, Any] | None = None,
) -> Json:
    """account.json's content: the stack's own zone and host name, with these credentials.

    The gateways beside Stripe have the keys of `kept`, an earlier content, or new ones.
    """
    zone = config.get("payments:zone") or {}
    owner = zone.get("account-id", "")
    suffix = "" if port == 443 else f":{port}"
    site = f"https://{config.get('payments:hostname', '')}{suffix}"
    return {
        "digitalocean": digitalocean,
        "cloudflare": {
            "api_token": api_token,
            "accounts": [{"id": owner, "name": "payments"}],
            "zones": [
                {
                    "id": zone.get("id", ""),
                    "name": zone.get("name", ""),
                    "plan": zone.get("plan", "free"),
                    "account_id": owner,
                    "addons": addons(config),
                }
            ],
        },
        "stripe": {
            "secret_key": stripe_key,
            "webhook_endpoints": [{"url": f"{site}/webhooks/stripe", "secret": webhook_secret}],
        },
        **gateways.accounts(kept or {}, site),
        "google_workspace": _workspace(config.get("payments:access") or {}, google_secret),
    }


def addons(config: Mapping[str, Any]) -> list[str]:
    """What the zone has beside its plan: what the stack says that it may use."""
    edge = config.get("payments:edge") or {}
    return ["Advanced Certificate Manager"] if edge.get("modern-ciphers") else []


def _workspace(access: Mapping[str, Any], client_secret: str) -> Json:
    """The company's Google Workspace: Access's OAuth client, and its people, one no admin."""
    provider = access.get("idp") or {}
    domain = provider.get("apps-domain", "")
    emails = [*access.get("admins", ()), *([f"visitor@{domain}"] if domain else [])]
    return {
        "domain": domain,
        "client_id": provider.get("client-id", ""),
        "client_secret": client_secret,
        "people": [
            {"email": email, "name": email.partition("@")[0].replace(".", " ").title()}
            for email in emails
        ],
    }


def write_account(home: Home, content: Json) -> bool:
    """Write account.json; True when it changed (a running twin has to be started anew then)."""
    path = home.path / "account.json"
    text = json.dumps(content, indent=1, sort_keys=True)
    if path.exists() and path.read_text() == text:
        return False
    write_private(path, text)
    return True


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an instance stands: the edge's port and the VPC's range.

    `gateway` is the address from which this machine reaches droplets, `ingress` the way visitors
    take to them.
    """

    port: int
    cidr: str
    gateway: str
    ingress: str = "tunnel"


def write_stack(home: Home, accounts: Json, place: Place) -> None:
    """The local stack's effective file: the project's values, this instance's place and secrets."""
    file = stackfile.load(ROOT, STACK)
    overrides = local_overrides(home, place)
    config = stackfile.merged(file.config, overrides)
    known = {"payments:gateways": gateways.settings(accounts, place.port)}
    config = stackfile.merged(config, known)
    crypter = _crypter(home)
    secret = {
        "digitalocean:token": accounts["digitalocean"]["token"],
        "digitalocean:spacesAccessId": accounts["digitalocean"]["spaces_access_id"],
        "digitalocean:spacesSecretKey": accounts["digitalocean"]["spaces_secret_key"],
        "cloudflare:apiToken": accounts["cloudflare"]["api_token"],
        "payments:stripe-secret-key": accounts["stripe"]["secret_key"],
        "payments:stripe-webhook-secrets": accounts["stripe"]["webhook_endpoints"][0]["secret"],
        "payments:access-idp-client-secret": accounts["google_workspace"]["client_secret"],
        **gateways.stack_secrets(accounts),
    }
    config = stackfile.with_secrets(config, secret, crypter)
    stackfile.write(home.path, STACK, stackfile.StackFile(config=config, salt=crypter.salt_line))
    stackfile.write_project(home.path, ROOT, ROOT / ".venv")


def local_overrides(home: Home, place: Place) -> Json:
    """What the local stack's file cannot know: this instance's files and addresses."""
    return {
        "payments:https-port": place.port,
        "payments:network": {"cidr": place.cidr},
        **_ingress(place.ingress),
        "payments:ssh": {
            "public-key-file": str(home.path / "ssh" / "id_ed25519.pub"),
            "config-file": str(home.path / "ssh" / "config"),
            "allow-from": [f"{place.gateway}/32"],
        },
        "payments:gateways": {"stripe": {"api-base": f"https://{gateways.STRIPE_API}"}},
        "payments:outgoing-ca-file": str(home.path / "ca.pem"),
    }


def _ingress(ingress: str) -> Json:
    """An ingress, and what the stack's other values must be with it."""
    chosen: Json = {"payments:ingress": ingress}
    if ingress == "direct":
        # The name leads to the droplet's address, which must outlive the droplet.
        chosen["payments:host"] = {"reserved-ip": True}
    return chosen


def _crypter(home: Home) -> Crypter:
    passphrase = passphrase_file(home).read_text()
    if (home.path / f"Pulumi.{STACK}.yaml").exists():
        salt = stackfile.load(home.path, STACK).salt
        if salt:
            return Crypter(salt, passphrase)
    return Crypter.new(passphrase)


def _letters(count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(count))
