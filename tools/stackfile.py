"""Stack files (`Pulumi.<stack>.yaml`): read, changed, and written where the engine is started.

The engine is never started in the project's folder: it would write its salt into the project's
stack file. It gets a folder with a copy of `Pulumi.yaml` whose `main` points at the program, and
the effective stack file beside it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.errors import ToolError
from tools.passphrase import Crypter, WrongPassphrase
from tools.paths import write_private

Config = dict[str, Any]

# What stands in for an encrypted value that cannot be read here: of the right shape, so that the
# program's checks pass, always the same, so that two revisions do not differ by it, and nobody's.
_PLACEHOLDERS = {
    "digitalocean:token": "dop_v1_" + "0" * 64,
    "digitalocean:spacesAccessId": "DO00" + "0" * 16,
    "digitalocean:spacesSecretKey": "0" * 43,
    "cloudflare:apiToken": "0" * 40,
    "payments:stripe-secret-key": "sk_test_" + "0" * 24,
    "payments:stripe-webhook-secrets": "whsec_" + "0" * 32,
    "payments:access-idp-client-secret": "GOCSPX-" + "0" * 28,
    "payments:razorpay-key-secret": "0" * 24,
    "payments:razorpay-webhook-secrets": "0" * 32,
    "payments:paypal-client-secret": "E" + "0" * 79,
    "payments:cryptomus-api-key": "0" * 128,
}
_PRODUCTION = {"payments:stripe-secret-key": "sk_live_" + "0" * 24}


@dataclass(frozen=True, kw_only=True)
class StackFile:
    """One stack's configuration, and the salt of its encrypted values (empty: none of ours)."""

    config: Config
    salt: str = ""

    def secure_paths(self) -> list[str]:
        """Where encrypted values stand: `digitalocean:token`, `payments:x.y[0]`."""
        return [path for path, _ in self.secure_values()]

    def secure_values(self) -> Iterator[tuple[str, str]]:
        """The encrypted values: where, and as they stand in the file."""
        yield from _secure(self.config, "")


def load(folder: Path, stack: str) -> StackFile:
    """Read `Pulumi.<stack>.yaml`. Raises ToolError when it is missing or not YAML."""
    path = folder / f"Pulumi.{stack}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError as error:
        known = sorted(file.name.split(".")[1] for file in folder.glob("Pulumi.*.yaml"))
        raise ToolError(
            f"There is no stack {stack}: {path.name} is missing.",
            f"Stacks of this project: {', '.join(known) or 'none'}",
        ) from error
    except yaml.YAMLError as error:
        raise ToolError(f"{path.name} is not valid YAML.", details=str(error)) from error
    config = content.get("config") or {}
    if not isinstance(config, dict):
        raise ToolError(f"{path.name}: `config` must be a mapping.")
    return StackFile(config=config, salt=str(content.get("encryptionsalt") or ""))


def merged(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> Config:
    """`config` with `overrides` put over it, mappings merged, everything else replaced."""
    result = copy.deepcopy(dict(config))
    for key, value in overrides.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def with_secrets(config: Config, secrets: Mapping[str, str], crypter: Crypter) -> Config:
    """`config` with these values encrypted at their keys."""
    return {**config, **{key: {"secure": crypter.encrypt(text)} for key, text in secrets.items()}}


def reencrypted(
    file: StackFile, crypter: Crypter, passphrase: str | None
) -> tuple[StackFile, list[str]]:
    """The file with its secrets under `crypter`, and the paths that became placeholders.

    What `passphrase` opens keeps its value; the rest (no passphrase, a wrong one, another secrets
    provider) gets a placeholder.
    """
    reader: Crypter | None = None
    if passphrase is not None and file.salt:
        try:
            reader = Crypter(file.salt, passphrase)
        except WrongPassphrase:
            reader = None
    production = file.config.get("payments:environment") == "production"
    invented: list[str] = []

    def again(path: str, value: str) -> str:
        if reader:
            try:
                return crypter.encrypt(reader.decrypt(value))
            except WrongPassphrase:
                pass
        invented.append(path)
        return crypter.encrypt(placeholder(path, production=production))

    config = _replace_secure(file.config, "", again)
    return StackFile(config=config, salt=crypter.salt_line), invented


def placeholder(path: str, *, production: bool) -> str:
    """The value that stands in for an encrypted one."""
    if production and path in _PRODUCTION:
        return _PRODUCTION[path]
    return _PLACEHOLDERS.get(path, "placeholder")


def placeholders() -> dict[str, str]:
    """A placeholder for every secret the program reads."""
    return dict(_PLACEHOLDERS)


def plain(config: Mapping[str, Any], key: str, crypter: Crypter) -> str:
    """A value as text, decrypted where it is encrypted; empty when it is not set."""
    value = config.get(key, "")
    if isinstance(value, dict) and "secure" in value:
        return crypter.decrypt(value["secure"])
    return str(value)


def write(folder: Path, stack: str, file: StackFile) -> None:
    """Write the effective stack file, for this user alone."""
    content: dict[str, Any] = {"encryptionsalt": file.salt} if file.salt else {}
    content["config"] = file.config
    text = yaml.safe_dump(content, sort_keys=True, allow_unicode=True, width=10_000)
    write_private(folder / f"Pulumi.{stack}.yaml", text)


def write_project(folder: Path, program: Path, virtualenv: Path) -> None:
    """Write a `Pulumi.yaml` that runs the program in `program` from `folder`."""
    content = yaml.safe_load((program / "Pulumi.yaml").read_text(encoding="utf-8"))
    runtime = content.get("runtime")
    options = dict(runtime.get("options") or {}) if isinstance(runtime, dict) else {}
    options["virtualenv"] = str(virtualenv)
    main = program / str(content.get("main") or ".")
    content["runtime"] = {"name": "python", "options": options}
    content["main"] = os.path.normpath(main)
    write_private(folder / "Pulumi.yaml", yaml.safe_dump(content, sort_keys=False, width=10_000))


def _secure(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            yield path, value["secure"]
            return
        for key, inner in value.items():
            yield from _secure(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secure(inner, f"{path}[{index}]")


def _replace_secure(value: Any, path: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, dict):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            return {"secure": change(path, value["secure"])}
        return {
            key: _replace_secure(inner, f"{path}.{key}" if path else str(key), change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [
            _replace_secure(inner, f"{path}[{index}]", change) for index, inner in enumerate(value)
        ]
    return value
