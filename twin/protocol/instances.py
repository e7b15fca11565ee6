"""The provider's own side of the protocol: instances, their configuration, their calls' errors."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from twin.protocol import answers, check, schema, values
from twin.protocol.resource import ApiError, Context, Package, Props
from twin.protocol.session import Session, Sessions, call_context
from twin.world import WorldError

_log = logging.getLogger(__name__)
_F = TypeVar("_F", bound=Callable[..., Any])


class InitError(Exception):
    """A resource exists but is not right; carries what the engine records."""

    def __init__(self, id: str, inputs: Props, outputs: Props, reason: str) -> None:
        super().__init__(reason)
        self.detail = provider_pb2.ErrorResourceInitFailed(
            id=id,
            inputs=values.encode(inputs),
            properties=values.encode(outputs),
            reasons=[reason],
        )


class UserError(Exception):
    """A sentence for the user."""


def guarded(method: _F) -> _F:
    """Turn what a handler raises into the protocol's errors, secrets masked."""

    @functools.wraps(method)
    def call(self: Instances, request: Any, rpc: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, rpc)
        except InitError as error:
            text = answers.masked(str(error), request)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text)
            error.detail.reasons[:] = [text]
            status.details.add().Pack(error.detail)
            metadata = (("grpc-status-details-bin", status.SerializeToString()),)
            rpc.set_trailing_metadata(metadata)
        except (ApiError, WorldError, UserError) as error:
            text = answers.masked(str(error), request)
        except Exception as error:
            _log.exception("%s of %s failed", method.__name__, getattr(request, "urn", ""))
            text = answers.masked(
                f"the twin failed unexpectedly ({type(error).__name__}: {error}); "
                "its log has the details",
                request,
            )
        return rpc.abort(grpc.StatusCode.UNKNOWN, text)

    return call  # type: ignore[return-value]


class Instances(provider_pb2_grpc.ResourceProviderServicer):
    """What concerns a provider instance, before any resource."""

    def __init__(self, package: Package, base: Context) -> None:
        self.package = package
        self.schema = package.schema or schema.load(package.name)
        self._base = base
        self._sessions = Sessions()
        self._resources = {resource.token: resource for resource in package.resources}
        self._functions = {function.token: function for function in package.functions}
        for token in self._resources:
            if token not in self.schema.resources:
                raise schema.SchemaError(f"{token} has no entry in the schema table")
        for token in self._functions:
            if token not in self.schema.functions:
                raise schema.SchemaError(f"{token} has no entry in the schema table")

    def Attach(
        self, request: plugin_pb2.PluginAttach, rpc: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """The engine's own address."""
        self._sessions.of(rpc.peer()).engine = request.address
        return empty_pb2.Empty()

    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.ProviderHandshakeResponse:
        """The engine's own address, and what this provider accepts."""
        self._sessions.of(rpc.peer()).engine = request.engine_address
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True,
            accept_resources=True,
            accept_outputs=True,
            supports_autonaming_configuration=True,
        )

    def GetPluginInfo(
        self, request: empty_pb2.Empty, rpc: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The SDK's version: with another one each run would warn."""
        return plugin_pb2.PluginInfo(version=self.package.version)

    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        """Name and version only: no tool of the project reads more."""
        text = json.dumps({"name": self.package.name, "version": self.package.version})
        return provider_pb2.GetSchemaResponse(schema=text)

    @guarded
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """A provider instance's configuration against the table and the package's rules."""
        config = self._config(values.decode(request.news))
        shape = schema.Shape(properties=self.schema.config)
        failures = check.check(config, shape, self.schema.types)
        if not failures:
            failures = list(self.package.check_config(self._base.account, config))
        return provider_pb2.CheckResponse(inputs=request.news, failures=answers.failures(failures))

    @guarded
    def DiffConfig(
        self, request: provider_pb2.DiffRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Another configuration updates the instance in place; it never replaces what it made."""
        olds = self._config(values.decode(request.old_inputs or request.olds))
        news = self._config(values.decode(request.news))
        changed = sorted(k for k in {*olds, *news} if olds.get(k) != news.get(k))
        verdict = provider_pb2.DiffResponse.DIFF_SOME if changed else None
        return provider_pb2.DiffResponse(
            changes=verdict or provider_pb2.DiffResponse.DIFF_NONE, diffs=changed
        )

    @guarded
    def Configure(
        self, request: provider_pb2.ConfigureRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        """Keep the configuration under the connection it came by."""
        session = self._sessions.of(rpc.peer())
        session.config = self._config(values.decode(request.args))
        session.configured = True
        self.package.configure(self.context(session, rpc, ""))
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True,
            acceptResources=True,
            acceptOutputs=True,
            supportsPreview=True,
            supports_autonaming_configuration=True,
        )

    def Cancel(self, request: empty_pb2.Empty, rpc: grpc.ServicerContext) -> empty_pb2.Empty:
        """Stop what runs for this connection."""
        for stop in tuple(self._sessions.of(rpc.peer()).running):
            stop.set()
        return empty_pb2.Empty()

    def session(self, rpc: grpc.ServicerContext) -> Session:
        """The configured instance that a call is for."""
        session = self._sessions.of(rpc.peer())
        if not session.configured:
            raise UserError(f"the {self.package.name} provider was not configured before its use")
        return session

    def context(
        self, session: Session, rpc: grpc.ServicerContext, urn: str, *bags: Props
    ) -> Context:
        """The context of a call; the secrets of its property bags are kept out of messages."""
        return call_context(session, self._base, rpc, urn, values.to_mask(*bags))

    def _config(self, sent: Props) -> Props:
        """A configuration as the handlers see it: nested values arrive as JSON texts."""
        config = {}
        for name, value in values.plain(sent).items():
            prop = self.schema.config.get(name)
            nested = prop is not None and prop.type.kind != "string" and isinstance(value, str)
            if name not in ("version", "pluginDownloadURL", "__internal"):
                config[name] = json.loads(value) if nested else value
        return config
