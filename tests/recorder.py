"""Records what a program asks of the engine: every resource with its inputs, options and secrets.

Pulumi's mocks see neither options nor parents, accept duplicate names and swallow a failing assert
inside an apply. So: build, drain, then assert on the record. `Recorder.build` runs the program to
its end and returns what it returned; the tests look at `resources` afterwards.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

import pulumi
from pulumi.runtime import config as runtime_config
from pulumi.runtime import mocks, settings, sync_await
from pulumi.runtime.proto import resource_pb2

T = TypeVar("T")

_SECRET_KEY: Final = "4dabf18193072939515e22adb298388d"
_SECRET_VALUE: Final = "1b47061264138c4ac30d75fd1eb44270"
_LOOP: Final = asyncio.new_event_loop()
PEM: Final = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@dataclass(frozen=True, kw_only=True)
class Options:
    """The resource options as the engine gets them."""

    protect: bool
    retain_on_delete: bool
    delete_before_replace: bool | None
    replace_on_changes: tuple[str, ...]
    replace_with: tuple[str, ...]
    deleted_with: str
    depends_on: tuple[str, ...]
    provider: str


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One resource: inputs in the engine's names with secrets unwrapped, and which were secret."""

    token: str
    name: str
    urn: str
    parent: str
    inputs: dict[str, Any]
    secret_inputs: frozenset[str]
    options: Options
    outputs: dict[str, Any]

    def is_secret(self, key: str) -> bool:
        """Whether this input, or something in it, is marked secret."""
        return key in self.secret_inputs


@dataclass
class _Record:
    resources: list[Recorded] = field(default_factory=list)
    registered_outputs: dict[str, frozenset[str]] = field(default_factory=dict)
    calls: list[mocks.MockCallArgs] = field(default_factory=list)


class _Mocks(mocks.Mocks):
    """Answers as the clouds would: ids and outputs of the right shape."""

    def __init__(self, record: _Record) -> None:
        self._record = record
        self._numbers = count(1001)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        number = next(self._numbers)
        id_ = str(number) if args.typ.endswith(":Droplet") else f"{args.name}-id"
        return id_, {**args.inputs, **_outputs(args, number)}

    def call(self, args: mocks.MockCallArgs) -> Any:
        self._record.calls.append(args)
        answers: dict[str, dict[str, Any]] = {
            "digitalocean:index/getDatabaseCa:getDatabaseCa": {"certificate": PEM},
            "cloudflare:index/getZeroTrustTunnelCloudflaredToken:"
            "getZeroTrustTunnelCloudflaredToken": {
                "token": f"eyJ0dW5uZWwtdG9rZW4i{args.args.get('tunnelId')}"
            },
            "cloudflare:index/getAuthenticatedOriginPullsCertificate:"
            "getAuthenticatedOriginPullsCertificate": {"status": "active"},
            "cloudflare:index/getIpRanges:getIpRanges": {
                "ipv4Cidrs": [f"198.41.{number}.0/24" for number in range(15)],
                "ipv6Cidrs": [f"2606:4700:{number}::/48" for number in range(7)],
            },
        }
        return {**args.args, "id": "answer", **answers[args.token]}


def _outputs(args: mocks.MockResourceArgs, number: int) -> dict[str, Any]:
    name, kind = args.name, args.typ.rsplit(":", 1)[-1]
    named = {"name": args.inputs.get("name", f"{name}-1a2b3c4")}
    secret = {"password": f"password-of-{name}"}
    host = {"host": f"{name}.db.test", "privateHost": f"private-{name}.db.test"}
    shapes: dict[str, dict[str, Any]] = {
        "Vpc": {"vpcUrn": f"do:vpc:{name}"},
        "SshKey": {"fingerprint": f"fp:{number}"},
        "Droplet": {
            "ipv4Address": f"203.0.113.{number % 200}",
            "ipv4AddressPrivate": f"10.0.0.{number % 200}",
            "dropletUrn": f"do:droplet:{number}",
        },
        "LoadBalancer": {"ip": f"192.0.2.{number % 200}", "loadBalancerUrn": f"do:lb:{name}"},
        "PrivateKey": {"privateKeyPem": f"private-key-of-{name}"},
        "CertRequest": {"certRequestPem": f"request-of-{name}"},
        "SelfSignedCert": {"certPem": f"certificate-of-{name}"},
        "LocallySignedCert": {"certPem": f"certificate-of-{name}"},
        "OriginCaCertificate": {
            "certificate": f"certificate-of-{name}",
            "expiresOn": "2027-05-21 10:00:00 +0000 UTC",
        },
        "AuthenticatedOriginPullsCertificate": {"expiresOn": "2027-05-20T10:00:00Z"},
        "ReservedIp": {"ipAddress": f"192.0.2.{number % 200}"},
        "DatabaseCluster": {
            **host,
            **secret,
            "port": 25060,
            "user": "default" if args.inputs.get("engine") == "valkey" else "doadmin",
            "clusterUrn": f"do:dbaas:{name}",
        },
        "DatabaseReplica": {"uuid": f"uuid-of-{name}"},
        "DatabaseUser": secret,
        "DatabaseConnectionPool": {**host, **secret, "port": 25061},
        "SpacesBucket": {
            "endpoint": "fra1.digitaloceanspaces.com",
            "bucketUrn": f"do:space:{name}",
        },
        "SpacesKey": {"accessKey": "DO00KEY", "secretKey": "spaces-secret"},
        "RandomBytes": {"base64": "c2Vzc2lvbi1rZXk="},
        "ZoneDnssec": {"ds": f"{name}. 3600 IN DS 2371 13 2 {number:064x}"},
        "ZeroTrustAccessApplication": {"aud": f"{number:064x}"},
        "ZeroTrustAccessServiceToken": {
            "clientId": f"{number:032x}.access",
            "clientSecret": f"cfast_{number:048d}",
        },
        "RemoteImage": {"imageId": f"sha256:{number:064x}", "repoDigest": "r@sha256:0"},
        "Image": {"repoDigest": f"registry.twin.test:5000/payments@sha256:{number:064x}"},
    }
    return {**named, **shapes.get(kind, {})}


class _Monitor(mocks.MockMonitor):
    """Keeps what the mocks are not shown, and refuses what the engine would."""

    def __init__(self, record: _Record) -> None:
        super().__init__(_Mocks(record))
        self._record = record

    def RegisterResource(
        self, request: resource_pb2.RegisterResourceRequest
    ) -> resource_pb2.RegisterResourceResponse:
        register: Callable[..., resource_pb2.RegisterResourceResponse] = super().RegisterResource
        answer = register(request)
        if request.type == "pulumi:pulumi:Stack":
            return answer
        if any(known.urn == answer.urn for known in self._record.resources):
            raise ValueError(f"duplicate resource {answer.urn}")
        state = self.resources[answer.urn].state
        raw = pulumi.runtime.rpc.deserialize_properties(request.object)
        inputs = {key: unwrapped(value) for key, value in raw.items()}
        self._record.resources.append(
            Recorded(
                token=request.type,
                name=request.name,
                urn=answer.urn,
                parent=request.parent,
                inputs=inputs,
                secret_inputs=frozenset(key for key, value in raw.items() if _has_secret(value)),
                options=_options(request),
                outputs=state,
            )
        )
        return answer

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> Any:
        self._record.registered_outputs[request.urn] = frozenset(request.outputs.keys())
        register: Callable[..., Any] = super().RegisterResourceOutputs
        return register(request)


def _options(request: resource_pb2.RegisterResourceRequest) -> Options:
    return Options(
        protect=request.protect,
        retain_on_delete=request.retainOnDelete,
        delete_before_replace=request.deleteBeforeReplace
        if request.deleteBeforeReplaceDefined
        else None,
        replace_on_changes=tuple(request.replaceOnChanges),
        replace_with=tuple(request.replace_with),
        deleted_with=request.deletedWith,
        depends_on=tuple(request.dependencies),
        provider=request.provider.rpartition("::")[0],
    )


def _has_secret(value: Any) -> bool:
    if isinstance(value, dict):
        return value.get(_SECRET_KEY) == _SECRET_VALUE or any(map(_has_secret, value.values()))
    return isinstance(value, list) and any(map(_has_secret, value))


def unwrapped(value: Any) -> Any:
    """The value without the marks of secrets."""
    if isinstance(value, dict):
        if value.get(_SECRET_KEY) == _SECRET_VALUE:
            return unwrapped(value["value"])
        return {key: unwrapped(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [unwrapped(inner) for inner in value]
    return value


class Recorder:
    """One program's record. `preview=True` leaves what a preview cannot know unknown."""

    def __init__(self, *, project: str = "payments", stack: str = "test") -> None:
        self._project, self._stack = project, stack
        self._record = _Record()

    def configure(self, values: Mapping[str, Any], secrets: Sequence[str] = ()) -> None:
        """The stack's configuration, mappings as the engine hands them over: JSON."""
        texts = {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
        }
        runtime_config.set_all_config(texts, list(secrets))

    def build(self, program: Callable[[], T], *, preview: bool = False) -> T:
        """Run the program until nothing is left to register; errors in an apply are raised."""
        self._record = _Record()
        settings.ROOT.set(None)  # a root of its own for every run
        # The SDK wants a current loop; a test that ran `asyncio.run` before this one leaves none.
        asyncio.set_event_loop(_LOOP)
        mocks.set_mocks(
            _Mocks(self._record),
            project=self._project,
            stack=self._stack,
            preview=preview,
            monitor=_Monitor(self._record),
        )
        built: list[T] = []

        def run() -> None:
            built.append(program())

        drained: Callable[[Callable[[], None]], Callable[[], None]] = mocks.test
        drained(run)()
        return built[0]

    @property
    def resources(self) -> list[Recorded]:
        """Everything that was registered, in order."""
        return list(self._record.resources)

    @property
    def calls(self) -> list[mocks.MockCallArgs]:
        """Every invoke."""
        return list(self._record.calls)

    def of_type(self, token: str) -> list[Recorded]:
        """The resources of a type; the end of its token will do (`:Droplet`)."""
        return [found for found in self._record.resources if found.token.endswith(token)]

    def one(self, token: str) -> Recorded:
        """The only resource of a type."""
        found = self.of_type(token)
        assert len(found) == 1, f"{len(found)} resources of type {token}"
        return found[0]

    def named(self, name: str) -> Recorded:
        """The only resource of that name."""
        found = [r for r in self._record.resources if r.name == name]
        assert len(found) == 1, f"{len(found)} resources named {name}: {self.names()}"
        return found[0]

    def names(self) -> list[str]:
        """All names."""
        return [found.name for found in self._record.resources]

    def urns(self) -> list[str]:
        """All URNs."""
        return [found.urn for found in self._record.resources]

    def outputs_of(self, recorded: Recorded) -> frozenset[str]:
        """What a component registered as its outputs."""
        return self._record.registered_outputs[recorded.urn]

    def before(self, later: Recorded) -> Iterator[Recorded]:
        """Everything that must be done before a resource, however far away."""
        by_urn = {found.urn: found for found in self._record.resources}
        seen: set[str] = set()
        waiting = [*later.options.depends_on, later.options.provider]
        while waiting:
            urn = waiting.pop()
            if urn in seen or urn not in by_urn:
                continue
            seen.add(urn)
            found = by_urn[urn]
            yield found
            waiting += [*found.options.depends_on, found.options.provider]


def value_of(output: pulumi.Output[T]) -> T | None:
    """The value of an output after the program has run; None where it is unknown."""
    return sync_await._sync_await(output.future())


def is_secret(output: pulumi.Output[Any]) -> bool:
    """Whether an output is marked secret."""
    return sync_await._sync_await(output.is_secret())
