"""Call handlers as the servicer does, without gRPC: for tables of rules."""

from __future__ import annotations

from typing import Any

from twin.protocol import check, schema
from twin.protocol.resource import Context, Created, Package, Resource


class Handlers:
    """The types of one package in one context; records what it makes, as the servicer does."""

    def __init__(self, package: Package, ctx: Context) -> None:
        self.ctx = ctx
        self.table = schema.load(package.name)
        self._resources = {r.token.rsplit(":", 1)[-1]: r for r in package.resources}

    def resource(self, name: str) -> Resource:
        return self._resources[name]

    def failures(self, name: str, inputs: dict[str, Any]) -> list[str]:
        """`path: reason` of every failure of Check."""
        resource = self.resource(name)
        shape = self.table.resources[resource.token].inputs
        found = check.check(inputs, shape, self.table.types)
        if not found:
            filled = check.fill(inputs, shape, self.table.types)
            found += resource.validate(self.ctx, filled)
        return [f"{f.property}: {f.reason}" for f in found]

    def create(self, name: str, inputs: dict[str, Any]) -> Created:
        """Check, create and record."""
        assert self.failures(name, inputs) == []
        resource = self.resource(name)
        shape = self.table.resources[resource.token].inputs
        filled = check.fill(inputs, shape, self.table.types)
        made = resource.create(self.ctx, filled)
        assert set(made.outputs) <= set(self.table.resources[resource.token].outputs)
        self.ctx.store.put(resource.token, made.id, filled, {**filled, **made.outputs})
        return made

    def update(self, name: str, id: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Update a recorded one and record it."""
        resource = self.resource(name)
        shape = self.table.resources[resource.token].inputs
        filled = check.fill(inputs, shape, self.table.types)
        record = self.ctx.store.get(resource.token, id)
        assert record is not None
        outputs = resource.update(self.ctx, id, record.outputs, filled)
        self.ctx.store.put(resource.token, id, filled, outputs)
        return outputs

    def delete(self, name: str, id: str) -> None:
        """Delete a recorded one and its record."""
        resource = self.resource(name)
        record = self.ctx.store.get(resource.token, id)
        assert record is not None
        resource.delete(self.ctx, id, record.outputs)
        self.ctx.store.remove(resource.token, id)
