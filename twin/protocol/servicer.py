"""The Pulumi provider protocol for one package: everything that is the same for every type.

What a type adds is in its `twin.protocol.resource.Resource`; that module's docstring says who does
what. Every call ends with an answer or with one sentence for the user: a trace goes to the log.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from twin.protocol import answers, check, schema, values
from twin.protocol.diff import differences
from twin.protocol.instances import InitError, Instances, UserError, guarded
from twin.protocol.resource import (
    UNKNOWN,
    ApiError,
    Context,
    Created,
    Failure,
    Function,
    Props,
    Resource,
)
from twin.protocol.values import Secret
from twin.store import Record, Store

_DEFAULTED: Final = "__defaults"  # the bridges' list of inputs that the program did not give
_MADE_WITH: Final = "protocol.made-with"  # the provider configuration behind each record
_Timed = provider_pb2.CreateRequest | provider_pb2.UpdateRequest | provider_pb2.DeleteRequest


class Servicer(Instances):
    """Serves one package to any number of engines and provider instances at once."""

    def stop(self) -> None:
        """Tell running calls to stop."""
        self._sessions.cancel_all()
        self.package.cancel()

    def remove(self, record: Record, config: Props | None = None) -> None:
        """Remove a resource without an engine, with the configuration it was made with."""
        resource = self._resources[record.token]
        if config is None:
            config = made_with(self._base.store, record.token, record.id)
        ctx = dataclasses.replace(self._base, config=config)
        resource.delete(ctx, record.id, record.outputs)
        self._forget(record.token, record.id)

    def forget(self, record: Record) -> None:
        """Forget a resource that has gone with what held it."""
        self._forget(record.token, record.id)

    def collect(self) -> list[str]:
        """Remove what a crash left without a record."""
        return self.package.collect(self._base)

    # --- resources --------------------------------------------------------------------------------
    @guarded
    def Check(
        self, request: provider_pb2.CheckRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        """Refuse bad inputs; name what is unnamed; fill in defaults."""
        resource, table = self._type(request.urn)
        news, olds = values.decode(request.news), values.decode(request.olds)
        ctx = self.context(self.session(rpc), rpc, request.urn, news)
        inputs = values.plain(news)
        failures, named = self._named(request, table, inputs, values.plain(olds))
        failures += check.check(inputs, table.inputs, self.schema.types)
        if not failures:
            inputs = check.fill(inputs, table.inputs, self.schema.types)
            failures += resource.validate(ctx, inputs)
        if failures:
            return provider_pb2.CheckResponse(
                inputs=request.news, failures=answers.failures(failures)
            )
        inputs = resource.normalize(ctx, inputs, answers.without_marks(values.plain(olds)))
        checked = values.mark(inputs, news) | ({_DEFAULTED: [named]} if named else {})
        return provider_pb2.CheckResponse(inputs=values.encode(checked))

    @guarded
    def Diff(
        self, request: provider_pb2.DiffRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        """Compare inputs by the table, then let the type adjust the verdict."""
        resource, table = self._type(request.urn)
        old_inputs, news = (
            values.plain(values.decode(p)) for p in (request.old_inputs, request.news)
        )
        olds = {**values.plain(values.decode(request.olds)), **old_inputs}
        ctx = self.context(self.session(rpc), rpc, request.urn, values.decode(request.news))
        found = differences(old_inputs, news, table.inputs, self.schema.types)
        changed = {difference.top for difference in found}
        change = resource.diff(
            ctx, answers.without_marks(olds), answers.without_marks(news), changed
        )
        before = change.delete_before_replace
        if before is None:
            named = table.autoname is not None and table.autoname not in news.get(_DEFAULTED, ())
            before = table.delete_before_replace or named
        return answers.verdict(
            answers.adjusted(found, change.replace, change.update, change.ignore),
            delete_before=before,
        )

    @guarded
    def Create(
        self, request: provider_pb2.CreateRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.CreateResponse:
        """Make it and record it before answering; a preview answers what would be known."""
        resource, table = self._type(request.urn)
        news = values.decode(request.properties)
        inputs = answers.without_marks(values.plain(news))
        ctx = self.context(self.session(rpc), rpc, request.urn, news)
        if request.preview:
            outputs = dict.fromkeys(table.computed - set(inputs), UNKNOWN)
            outputs |= answers.echo(inputs, table) | resource.preview(ctx, inputs)
            return provider_pb2.CreateResponse(properties=answers.answer(outputs, table, news))
        created = resource.create(_timed(ctx, request), inputs)
        outputs = self._record(ctx, resource, table, created, inputs)
        if created.init_error:
            marked = values.mark(answers.mark_secrets(outputs, table), news)
            raise InitError(created.id, news, marked, created.init_error)
        return provider_pb2.CreateResponse(
            id=created.id, properties=answers.answer(outputs, table, news)
        )

    @guarded
    def Read(
        self, request: provider_pb2.ReadRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.ReadResponse:
        """What it is now; nothing when it is gone. What drifted flows into the inputs."""
        resource, table = self._type(request.urn)
        state, given = values.decode(request.properties), values.decode(request.inputs)
        known, inputs = self._known(resource, request.id, values.plain(state))
        if known is None:
            return provider_pb2.ReadResponse()
        ctx = self.context(self.session(rpc), rpc, request.urn, state, given)
        fresh = resource.read(ctx, request.id, known)
        if fresh is None:
            self._forget(resource.token, request.id)
            return provider_pb2.ReadResponse()
        fresh = answers.checked(fresh, table)
        if resource.recorded:
            self._base.store.put(resource.token, request.id, inputs, fresh)
        like = {**state, **given}
        drifted = answers.drifted(
            given or inputs, values.plain(state) or fresh, fresh, table, self.schema.types
        )
        return provider_pb2.ReadResponse(
            id=request.id,
            properties=answers.answer(fresh, table, like),
            inputs=values.encode(values.mark(drifted, like)),
        )

    @guarded
    def Update(
        self, request: provider_pb2.UpdateRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.UpdateResponse:
        """Change it in place; a preview answers what would be known."""
        resource, table = self._type(request.urn)
        news, olds = values.decode(request.news), values.decode(request.olds)
        inputs = answers.without_marks(values.plain(news))
        ctx = self.context(self.session(rpc), rpc, request.urn, news, olds)
        if request.preview:
            outputs = (
                values.plain(olds) | answers.echo(inputs, table) | resource.preview(ctx, inputs)
            )
            return provider_pb2.UpdateResponse(properties=answers.answer(outputs, table, news))
        known, _ = self._known(resource, request.id, values.plain(olds))
        if known is None:
            raise ApiError(
                404, f"{request.id} does not exist any more; `pulumi refresh` will notice"
            )
        outputs = resource.update(_timed(ctx, request), request.id, known, inputs)
        made = Created(id=request.id, outputs=outputs)
        outputs = self._record(ctx, resource, table, made, inputs)
        return provider_pb2.UpdateResponse(properties=answers.answer(outputs, table, news))

    @guarded
    def Delete(
        self, request: provider_pb2.DeleteRequest, rpc: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Remove it and its record; gone already is fine."""
        resource, _ = self._type(request.urn)
        olds, inputs = values.decode(request.properties), values.decode(request.old_inputs)
        known, _ = self._known(resource, request.id, values.plain(olds))
        if known is not None:
            ctx = self.context(self.session(rpc), rpc, request.urn, olds, inputs)
            resource.delete(_timed(ctx, request), request.id, known)
            self._forget(resource.token, request.id)
        return empty_pb2.Empty()

    @guarded
    def Invoke(
        self, request: provider_pb2.InvokeRequest, rpc: grpc.ServicerContext
    ) -> provider_pb2.InvokeResponse:
        """Answer a data source."""
        function: Function | None = self._functions.get(request.tok)
        if function is None:
            raise UserError(f"the twin has no double of {request.tok}")
        table = self.schema.functions[request.tok]
        args = values.decode(request.args)
        plain = values.plain(args)
        failures = check.check(plain, table.args, self.schema.types)
        if failures:
            return provider_pb2.InvokeResponse(failures=answers.failures(failures))
        plain = check.fill(plain, table.args, self.schema.types)
        result = function.call(self.context(self.session(rpc), rpc, "", args), plain)
        marked = {
            name: Secret(value) if name in table.result and table.result[name].secret else value
            for name, value in result.items()
        }
        return provider_pb2.InvokeResponse(**{"return": values.encode(marked)})

    # --- beneath ----------------------------------------------------------------------------------
    def _type(self, urn: str) -> tuple[Resource, schema.ResourceSchema]:
        token = urn.split("::")[2].rsplit("$", 1)[-1]
        if token not in self._resources:
            raise UserError(f"the twin has no double of {token}")
        return self._resources[token], self.schema.resources[token]

    def _named(
        self,
        request: provider_pb2.CheckRequest,
        table: schema.ResourceSchema,
        inputs: Props,
        olds: Props,
    ) -> tuple[list[Failure], str | None]:
        """Give an unnamed resource its old name or a new one; the input that was named so."""
        name = table.autoname
        if name is None or inputs.get(name) is not None:
            return [], None
        mode = request.autonaming.mode
        if name in olds and name in olds.get(_DEFAULTED, ()):
            inputs[name] = olds[name]
        elif request.HasField("autonaming") and mode == request.autonaming.DISABLE:
            return [Failure(name, "is required: automatic naming is switched off")], None
        elif request.HasField("autonaming") and request.autonaming.proposed_name:
            inputs[name] = request.autonaming.proposed_name
        else:
            inputs[name] = f"{request.urn.rsplit('::', 1)[-1]}-{answers.suffix(request.randomSeed)}"
        return [], name

    def _known(self, resource: Resource, id: str, state: Props) -> tuple[Props | None, Props]:
        """The outputs and inputs on record; None when its cloud does not have it."""
        if not resource.recorded:
            return state, {}
        record = self._base.store.get(resource.token, id)
        return (record.outputs, record.inputs) if record else (None, {})

    def _record(
        self,
        ctx: Context,
        resource: Resource,
        table: schema.ResourceSchema,
        made: Created,
        inputs: Props,
    ) -> Props:
        outputs = answers.checked({**answers.echo(inputs, table), **made.outputs}, table)
        if resource.recorded:
            key = _key(resource.token, made.id)
            self._base.store.save(_MADE_WITH, key, dict(ctx.config))
            self._base.store.put(resource.token, made.id, inputs, outputs)
        return outputs

    def _forget(self, token: str, id: str) -> None:
        self._base.store.remove(token, id)
        self._base.store.drop(_MADE_WITH, _key(token, id))


def _timed(ctx: Context, request: _Timed) -> Context:
    return dataclasses.replace(ctx, timeout=request.timeout)


def made_with(store: Store, token: str, id: str) -> Props:
    """The provider configuration that a recorded resource was made with."""
    return store.load(_MADE_WITH, _key(token, id)) or {}


def _key(token: str, id: str) -> str:
    return f"{token} {id}"
