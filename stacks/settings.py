"""The only reader of the stack's configuration: everything is checked before the first resource.

`load` returns the settings, or raises one `SettingsError` that lists every problem at once.
Structured values live under `payments:`; secrets are flat keys, because a secret inside a mapping
would turn the whole mapping into one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import pulumi
from pulumi.runtime import config as runtime
from pydantic import ConfigDict, TypeAdapter, ValidationError

from stacks import naming, settings_access, settings_edge, settings_gateways, settings_rules
from stacks.settings_model import Section, Settings, Unavailable
from stacks.settings_problems import (
    HIDDEN,
    NOT_SET,
    Problem,
    SettingsError,
    did_you_mean,
    from_validation,
    section_of,
)
from stacks.settings_siblings import shared_organizations, shared_zones

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """A flat key; `needed` says whether a stack can do without it."""

    key: str
    needed: bool = True


STRIPE_KEY: Final = SecretKey(key=settings_gateways.STRIPE_KEY)
WEBHOOK_SECRETS: Final = SecretKey(key="payments:stripe-webhook-secrets", needed=False)
RAZORPAY_SECRET: Final = SecretKey(key=settings_gateways.RAZORPAY_SECRET, needed=False)
RAZORPAY_WEBHOOKS: Final = SecretKey(key=settings_gateways.RAZORPAY_WEBHOOKS, needed=False)
PAYPAL_SECRET: Final = SecretKey(key=settings_gateways.PAYPAL_SECRET, needed=False)
CRYPTOMUS_KEY: Final = SecretKey(key=settings_gateways.CRYPTOMUS_KEY, needed=False)
REGISTRY_PASSWORD: Final = SecretKey(key="payments:registry-password", needed=False)
LOG_DESTINATION: Final = SecretKey(key=settings_edge.LOG_DESTINATION, needed=False)
LOG_OWNERSHIP: Final = SecretKey(key=settings_edge.LOG_OWNERSHIP, needed=False)
IDP_SECRET: Final = SecretKey(key=settings_access.IDP_SECRET, needed=False)
DIGITALOCEAN_TOKEN: Final = SecretKey(key="digitalocean:token")
SPACES_ID: Final = SecretKey(key="digitalocean:spacesAccessId")
SPACES_KEY: Final = SecretKey(key="digitalocean:spacesSecretKey")
CLOUDFLARE_TOKEN: Final = SecretKey(key="cloudflare:apiToken")
SECRET_KEYS: Final = (
    STRIPE_KEY,
    WEBHOOK_SECRETS,
    RAZORPAY_SECRET,
    RAZORPAY_WEBHOOKS,
    PAYPAL_SECRET,
    CRYPTOMUS_KEY,
    REGISTRY_PASSWORD,
    LOG_DESTINATION,
    LOG_OWNERSHIP,
    IDP_SECRET,
    DIGITALOCEAN_TOKEN,
    SPACES_ID,
    SPACES_KEY,
    CLOUDFLARE_TOKEN,
)


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What only the encrypted part of the stack's file holds. All are secret outputs."""

    stripe_secret_key: pulumi.Output[str]
    stripe_webhook_secrets: pulumi.Output[str]
    razorpay_key_secret: pulumi.Output[str]
    razorpay_webhook_secrets: pulumi.Output[str]
    paypal_client_secret: pulumi.Output[str]
    cryptomus_api_key: pulumi.Output[str]
    registry_password: pulumi.Output[str]
    log_export_destination: pulumi.Output[str]
    log_export_ownership: pulumi.Output[str]
    access_idp_client_secret: pulumi.Output[str]
    digitalocean_token: pulumi.Output[str]
    spaces_access_id: pulumi.Output[str]
    spaces_secret_key: pulumi.Output[str]
    cloudflare_api_token: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack as decided: the prefix of its names, its settings, its secrets."""

    name: str
    settings: Settings
    secrets: Secrets


def load(folder: Path | None = None) -> Stack:
    """Read and check the configuration of the running stack.

    `folder` is the project's, for the other stacks' files and relative paths; default the working
    directory, where the engine starts the program. Raises SettingsError.
    """
    folder = (folder or Path()).resolve()
    stack = pulumi.get_stack()
    values = _values()
    data, problems = _structured(values)
    settings, found = parse(Settings, data)
    settings = _located(settings, folder)
    problems += found
    problems += _secret_problems(values, stack)
    problems += _name_problems(stack)
    problems += settings_rules.check(settings)
    problems += _guarded(settings, values, stack, folder)
    if problems:
        raise SettingsError(f"Pulumi.{stack}.yaml", problems)
    return Stack(
        name=naming.prefix(pulumi.get_project(), stack), settings=settings, secrets=_secrets()
    )


def _values() -> dict[str, str]:
    """Every configured value, whatever its namespace."""
    return {**pulumi.runtime.get_config_env(), **runtime.CONFIG.get()}


def _structured(values: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """The model's data; and the keys in our namespaces that nothing reads."""
    flat = {secret.key for secret in SECRET_KEYS}
    data: dict[str, Any] = {}
    problems = []
    for key, value in values.items():
        namespace, _, name = key.partition(":")
        if key in flat or namespace not in {"payments", "digitalocean", "cloudflare", "docker"}:
            continue
        if namespace == "payments" and name in _TOP_LEVEL:
            data[name] = _decoded(value) if _TOP_LEVEL[name] else value
            continue
        problems.append(
            Problem(
                field=key,
                value=HIDDEN,  # whatever it is, it may be a misspelt secret
                reason="there is no such setting",
                remedy=did_you_mean(key, flat | {f"payments:{name}" for name in _TOP_LEVEL}),
            )
        )
    return data, problems


_TOP_LEVEL: Final = {
    field.alias or name: section_of(field.annotation) is not None
    for name, field in Settings.model_fields.items()
}


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def parse(model: type[S], data: Any) -> tuple[S, list[Problem]]:
    """The model, and what is wrong with its data.

    With problems, the model holds the fields that are right; reading another raises Unavailable.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        return _partial(model, data), from_validation(model, error)


def _partial(model: type[S], data: Any) -> S:
    """The model with the fields of `data` that are right by themselves, and nothing else."""
    given = data if isinstance(data, dict) else {}
    right: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        alias = field.alias or name
        if alias not in given:
            if not field.is_required():
                right[name] = field.get_default(call_default_factory=True)
            continue
        kind: Any = field.annotation
        section = section_of(kind)
        if field.metadata:
            kind = Annotated[(kind, *field.metadata)]
        try:
            adapter = TypeAdapter(kind) if section else TypeAdapter(kind, config=_PLAIN)
            right[name] = adapter.validate_python(given[alias])
        except ValidationError:
            if section is not None and issubclass(section, Section):
                right[name] = _partial(section, given[alias])
    made = model.model_construct(
        **{(model.model_fields[n].alias or n): v for n, v in right.items()}
    )
    for name in model.model_fields.keys() - right.keys():
        made.__dict__.pop(name, None)
    return made


_PLAIN: Final = ConfigDict(coerce_numbers_to_str=True)


def _located(settings: Settings, folder: Path) -> Settings:
    """Relative paths made absolute: the providers run in other working directories."""

    def place(section: Section, *names: str) -> Section:
        paths = {name: section.__dict__.get(name) for name in names}
        absolute = {n: folder / p.expanduser() for n, p in paths.items() if isinstance(p, Path)}
        return section.model_copy(update=absolute)

    updates: dict[str, Any] = {}
    if ssh := settings.__dict__.get("ssh"):
        updates["ssh"] = place(ssh, "public_key_file", "config_file")
    if isinstance(ca_file := settings.__dict__.get("outgoing_ca_file"), Path):
        updates["outgoing_ca_file"] = folder / ca_file.expanduser()
    return settings.model_copy(update=updates)


def _secret_problems(values: Mapping[str, str], stack: str) -> Iterator[Problem]:
    for secret in SECRET_KEYS:
        command = f"pulumi config set --secret {secret.key} --stack {stack}"
        value = values.get(secret.key)
        if value is None:
            if secret.needed:
                yield Problem(
                    field=secret.key, value=NOT_SET, reason="it is required", remedy=command
                )
        elif not runtime.is_config_secret(secret.key):
            yield Problem(
                field=secret.key,
                value=HIDDEN,
                reason="a secret stands in the file as plain text: take it for known and renew it",
                remedy=command,
            )
        elif value != value.strip() or (secret.needed and value in {"", "None", "null"}):
            yield Problem(
                field=secret.key,
                value=HIDDEN,
                reason="it is empty, or has white space around it",
                remedy=command,
            )


def _name_problems(stack: str) -> Iterator[Problem]:
    try:
        naming.prefix(pulumi.get_project(), stack)
    except ValueError as error:
        yield Problem(
            field="stack",
            value=stack,
            reason=str(error),
            remedy="create the stack anew under a shorter name",
        )


def _guarded(
    settings: Settings, values: Mapping[str, str], stack: str, folder: Path
) -> list[Problem]:
    """The rules that need more than the settings."""
    rules: tuple[Callable[[], Iterator[Problem]], ...] = (
        lambda: settings_gateways.secrets(settings, values),
        lambda: shared_zones(settings, stack, folder),
        lambda: settings_edge.log_export(
            settings,
            destination=bool(values.get(LOG_DESTINATION.key)),
            ownership=bool(values.get(LOG_OWNERSHIP.key)),
        ),
        lambda: settings_access.idp_secret(settings, given=bool(values.get(IDP_SECRET.key))),
        lambda: shared_organizations(settings, stack, folder),
    )
    found: list[Problem] = []
    for rule in rules:
        with contextlib.suppress(Unavailable):
            found.extend(rule())
    return found


def _secrets() -> Secrets:
    ours, cloud, edge = (pulumi.Config(n) for n in ("payments", "digitalocean", "cloudflare"))

    def optional(name: str) -> pulumi.Output[str]:
        return ours.get_secret(name) or pulumi.Output.secret("")

    return Secrets(
        stripe_secret_key=ours.require_secret("stripe-secret-key"),
        stripe_webhook_secrets=optional("stripe-webhook-secrets"),
        razorpay_key_secret=optional("razorpay-key-secret"),
        razorpay_webhook_secrets=optional("razorpay-webhook-secrets"),
        paypal_client_secret=optional("paypal-client-secret"),
        cryptomus_api_key=optional("cryptomus-api-key"),
        registry_password=optional("registry-password"),
        log_export_destination=optional("log-export-destination"),
        log_export_ownership=optional("log-export-ownership-challenge"),
        access_idp_client_secret=optional("access-idp-client-secret"),
        digitalocean_token=cloud.require_secret("token"),
        spaces_access_id=cloud.require_secret("spacesAccessId"),
        spaces_secret_key=cloud.require_secret("spacesSecretKey"),
        cloudflare_api_token=edge.require_secret("apiToken"),
    )
