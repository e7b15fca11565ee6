"""Tunnels, their remote configuration and their connector's token.

Rules: terraform-provider-cloudflare internal/services/zero_trust_tunnel_cloudflared*; the ingress
rules are the connector's own (cloudflare/cloudflared ingress/ingress.go), which the API repeats.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import urlsplit

from twin.clouds.births import birth, forget
from twin.clouds.cloudflare import account
from twin.clouds.cloudflare.account import TUNNEL, TUNNEL_CONFIG
from twin.clouds.rules import items, known, listed, new_uuid, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Function, Props, Resource
from twin.store import Record

SECRET_BYTES: Final = 32
SCHEMES: Final = ("http", "https", "unix", "unix+tls", "tcp", "ssh", "rdp", "smb")
_NAMED_SERVICES: Final = ("hello_world", "hello-world", "bastion")
_SECRETS: Final = "cloudflare/tunnel-secret"
_STATUS = re.compile(r"[1-5]\d\d")
_PATH_SCHEMES: Final = ("unix", "unix+tls")


class ZeroTrustTunnelCloudflared(Resource):
    """A tunnel; without a secret of the program's own the cloud makes one."""

    token = TUNNEL

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        name, secret = known(inputs, "name"), known(inputs, "tunnelSecret")
        if name is not None and not name.strip():
            yield Failure("name", "must not be empty")
        if secret is not None and not _is_secret(secret):
            yield Failure(
                "tunnelSecret", f"must be the base64 text of at least {SECRET_BYTES} bytes"
            )

    def create(self, ctx: Context, inputs: Props) -> Created:
        account.require_account(ctx, inputs["accountId"])
        key = f"{inputs['accountId']} {inputs['name']}"
        with birth(ctx, self.token, key, new_uuid) as id:
            self._refuse_taken_name(ctx, inputs, id)
            _keep_secret(ctx, id, inputs.get("tunnelSecret"))
        source = inputs.get("configSrc") or "local"  # the provider's default
        outputs = {
            **inputs,
            "configSrc": source,
            "accountTag": inputs["accountId"],
            "connections": [],
            "createdAt": now(),
            "metadata": "{}",
            "remoteConfig": source == "cloudflare",
            "status": "inactive",
            "tunType": "cfd_tunnel",
        }
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self._refuse_taken_name(ctx, news, id)
        _keep_secret(ctx, id, news.get("tunnelSecret"))
        kept = {k: v for k, v in outputs.items() if k != "tunnelSecret"}
        return {**kept, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        # The API refuses while connectors are connected; by then theirs are deleted, and the edge
        # cuts what is left.
        for config in ctx.store.find(TUNNEL_CONFIG, tunnelId=id):
            ctx.store.remove(TUNNEL_CONFIG, config.id)
        ctx.store.drop(_SECRETS, id)
        forget(ctx, self.token, id)

    def _refuse_taken_name(self, ctx: Context, inputs: Props, id: str) -> None:
        for other in ctx.store.find(self.token, accountId=inputs["accountId"], name=inputs["name"]):
            if other.id != id:
                raise ApiError(
                    409,
                    f'name "{inputs["name"]}": You already have a tunnel with this name (1013)',
                )


class ZeroTrustTunnelCloudflaredConfig(Resource):
    """The ingress rules of a remotely managed tunnel. Deleting it leaves them as they were."""

    token = TUNNEL_CONFIG

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if unset(inputs, "accountId"):
            yield Failure("accountId", "is required")
        if known(inputs, "source") == "local":
            yield Failure("source", '"local" would leave the rules without effect: "cloudflare"')
        config = known(inputs, "config")
        if unset(inputs, "config"):
            yield Failure("config", "is required, with at least one rule in ingresses")
        if isinstance(config, dict):
            yield from _ingress_failures(ctx, config, known(inputs, "accountId"))

    def create(self, ctx: Context, inputs: Props) -> Created:
        tunnel = _tunnel(ctx, inputs["accountId"], inputs["tunnelId"])
        if tunnel.outputs["configSrc"] != "cloudflare":
            raise ApiError(
                400,
                f'tunnelId "{tunnel.id}" has configSrc "{tunnel.outputs["configSrc"]}", '
                'so a remote configuration has no effect: make the tunnel with "cloudflare"',
            )
        return Created(id=tunnel.id, outputs=self._outputs(inputs, version=1))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs if ctx.store.get(TUNNEL, outputs["tunnelId"]) else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        _tunnel(ctx, news["accountId"], news["tunnelId"])
        made = self._outputs(news, version=int(outputs["version"]) + 1)
        return {**made, "createdAt": outputs["createdAt"]}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Only the record goes."""

    def _outputs(self, inputs: Props, version: int) -> Props:
        return {**inputs, "source": "cloudflare", "version": version, "createdAt": now()}


class GetTunnelToken(Function):
    """The token a connector runs with: base64 of `{"a": account, "t": tunnel, "s": secret}`."""

    token = "cloudflare:index/getZeroTrustTunnelCloudflaredToken:getZeroTrustTunnelCloudflaredToken"

    def call(self, ctx: Context, args: Props) -> Props:
        account_id = args.get("accountId")
        if not account_id:
            raise ApiError(400, "accountId is required")
        tunnel = _tunnel(ctx, account_id, args["tunnelId"])
        fields = {"a": account_id, "t": tunnel.id, "s": secret_of(ctx, tunnel.id)}
        text = json.dumps(fields, separators=(",", ":"))
        return {
            "id": tunnel.id,
            "accountId": account_id,
            "tunnelId": tunnel.id,
            "token": base64.b64encode(text.encode()).decode(),
        }


def secret_of(ctx: Context, tunnel_id: str) -> str:
    """A tunnel's secret, base64."""
    return str(ctx.store.load(_SECRETS, tunnel_id))


def _keep_secret(ctx: Context, tunnel_id: str, given: str | None) -> None:
    if given is not None:
        ctx.store.save(_SECRETS, tunnel_id, given)
    elif ctx.store.load(_SECRETS, tunnel_id) is None:
        made = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        ctx.store.save(_SECRETS, tunnel_id, made)


def _is_secret(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) >= SECRET_BYTES
    except (binascii.Error, ValueError):
        return False


def _tunnel(ctx: Context, account_id: str, tunnel_id: str) -> Record:
    account.require_account(ctx, account_id)
    found = ctx.store.get(TUNNEL, tunnel_id)
    if found is None or found.outputs["accountId"] != account_id:
        raise ApiError(404, f'tunnelId "{tunnel_id}": Tunnel not found (1003)')
    return found


def _ingress_failures(ctx: Context, config: Props, account_id: str | None) -> Iterator[Failure]:
    rules = known(config, "ingresses")
    if rules is None and not unset(config, "ingresses"):
        return
    if not rules:
        yield Failure("config.ingresses", "needs at least one rule, the last one a catch-all")
        return
    last = len(rules) - 1
    for index, rule in items(config, "ingresses"):
        path = f"config.ingresses[{index}]"
        yield from _rule_failures(path, rule)
        yield from _catch_all_failures(path, rule, is_last=index == last)
        host = known(rule, "hostname")
        if host and host != "*":
            yield from _host_failures(ctx, f"{path}.hostname", host, account_id)


def _catch_all_failures(path: str, rule: Props, *, is_last: bool) -> Iterator[Failure]:
    matches_all = rule.get("hostname") in (None, "", "*") and rule.get("path") in (None, "")
    if is_last and not matches_all:
        yield Failure(
            path,
            "is the last ingress rule, which must match all URLs (i.e. it should not have a "
            "hostname or path filter)",
        )
    elif matches_all and not is_last:
        yield Failure(path, "matches every hostname: the rules after it will never be triggered")


def _rule_failures(path: str, rule: Props) -> Iterator[Failure]:
    service, pattern = known(rule, "service"), known(rule, "path")
    if service is not None and (reason := _service_problem(service)):
        yield Failure(f"{path}.service", f'"{service}" {reason}')
    if pattern:
        try:
            re.compile(pattern)
        except re.error as error:
            yield Failure(f"{path}.path", f'"{pattern}" is an invalid regular expression: {error}')


def _service_problem(service: str) -> str | None:
    if service in _NAMED_SERVICES:
        return None
    kind, _, rest = service.partition(":")
    if kind == "http_status":
        return None if _STATUS.fullmatch(rest) else "needs a status from 100 to 599"
    if kind in _PATH_SCHEMES:
        return None if rest else "needs the path of a socket"
    try:
        parts = urlsplit(service)
        port = parts.port
    except ValueError:
        return "is no URL: its port must be a number from 0 to 65535"
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0:
        return (
            f"must be a URL with a host ({listed(SCHEMES)}), http_status:CODE, "
            "hello_world or bastion"
        )
    if parts.path or parts.query:
        return "must not have a path: the origin gets the path of the request"
    return None


def _host_failures(ctx: Context, path: str, host: str, account_id: str | None) -> Iterator[Failure]:
    if ":" in host:
        yield Failure(path, f'"{host}" cannot contain a port')
    elif "*" in host and (host.count("*") > 1 or not host.startswith("*.")):
        yield Failure(path, f'"{host}" can have one "*", as its first label')
    elif account_id is not None:
        plain = host.removeprefix("*.")
        if account.zone_of(ctx, plain, account_id) is None:
            yield Failure(path, f'"{host}" is in no zone of the account "{account_id}"')
