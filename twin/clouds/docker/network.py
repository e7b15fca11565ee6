"""docker.Network: made and read on the provider's engine. Everything replaces."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any, ClassVar

from docker.errors import NotFound

from twin.clouds.docker.engines import Engines, refusals
from twin.protocol.resource import (
    UNKNOWN,
    Context,
    Created,
    Failure,
    Props,
    Resource,
)


class Network(Resource):
    """A network of containers, usually a bridge."""

    token: ClassVar[str] = "docker:index/network:Network"

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """Subnets must be networks."""
        for i, config in enumerate(_known(inputs.get("ipamConfigs"))):
            subnet = config.get("subnet")
            if isinstance(subnet, str):
                try:
                    ip_network(subnet)
                except ValueError as error:
                    yield Failure(f"ipamConfigs[{i}].subnet", str(error))

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Make it, or find what was made before a crash (names are ours alone)."""
        if ctx.world.paper:
            id = hashlib.sha256(f"network:{inputs['name']}".encode()).hexdigest()
            computed = {"driver": "bridge", "internal": False, "options": {}, "scope": "local"}
            configs = inputs.get("ipamConfigs") or [
                {"gateway": "172.18.0.1", "subnet": "172.18.0.0/16"}
            ]
            return Created(id=id, outputs={**computed, **inputs, "ipamConfigs": configs})
        engine = self._engines.of(ctx)
        labels = {entry["label"]: entry["value"] for entry in inputs.get("labels", ())}
        with refusals(f"create network {inputs['name']}"):
            standing = engine.api.networks(names=[f"^{inputs['name']}$"])
            id = standing[0]["Id"] if standing else ""
            if not id:
                id = engine.api.create_network(
                    inputs["name"],
                    driver=inputs.get("driver"),
                    options=inputs.get("options"),
                    ipam=_ipam(inputs),
                    internal=inputs.get("internal", False),
                    labels={**labels, **engine.labels(ctx)},
                    enable_ipv6=inputs.get("ipv6", False),
                    attachable=inputs.get("attachable"),
                    ingress=inputs.get("ingress"),
                )["Id"]
            found = engine.api.inspect_network(id)
        if engine.outer:
            ctx.world.adopt_network(inputs["name"])
        return Created(id=id, outputs={**inputs, **_live(found, inputs)})

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        """Gone when the engine does not have it."""
        if ctx.world.paper:
            return outputs
        engine = self._engines.of(ctx)
        with refusals(f"inspect network {outputs['name']}"):
            try:
                return {**outputs, **_live(engine.api.inspect_network(id), outputs)}
            except NotFound:
                return None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Nothing changes in place."""
        return outputs

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """The engine refuses while containers are on it."""
        if ctx.world.paper:
            return
        engine = self._engines.of(ctx)
        if engine.outer:
            ctx.world.leave_network(outputs["name"])
        with refusals(f"remove network {outputs['name']}"), contextlib.suppress(NotFound):
            engine.api.remove_network(id)


def _known(value: Any) -> list[Any]:
    return [] if value is None or value is UNKNOWN else [v for v in value if v is not UNKNOWN]


def _ipam(inputs: Props) -> dict[str, Any] | None:
    configs = inputs.get("ipamConfigs")
    if not configs and not inputs.get("ipamDriver") and not inputs.get("ipamOptions"):
        return None
    names = {
        "subnet": "Subnet",
        "gateway": "Gateway",
        "ipRange": "IPRange",
        "auxAddress": "AuxiliaryAddresses",
    }
    return {
        "Driver": inputs.get("ipamDriver", "default"),
        "Options": inputs.get("ipamOptions"),
        "Config": [
            {names[key]: value for key, value in config.items()} for config in configs or ()
        ],
    }


def _live(found: dict[str, Any], known: Props) -> Props:
    """What the engine says, in the provider's names; our own choices stay as they were written."""
    configs = known.get("ipamConfigs") or [
        {
            name: config[key]
            for key, name in (("Gateway", "gateway"), ("Subnet", "subnet"))
            if config.get(key)
        }
        for config in (found.get("IPAM") or {}).get("Config") or ()
    ]
    return {
        "name": found["Name"],
        "driver": found["Driver"],
        "internal": found["Internal"],
        "scope": found["Scope"],
        "options": found.get("Options") or {},
        "ipamConfigs": configs,
    }
