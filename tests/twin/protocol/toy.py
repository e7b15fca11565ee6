"""A made-up provider with one of everything the protocol can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twin.protocol import schema
from twin.protocol.resource import (
    UNKNOWN,
    ApiError,
    Change,
    Context,
    Created,
    Failure,
    Function,
    Package,
    Props,
    Resource,
)

TABLE: dict[str, Any] = {
    "config": {"token": "string secret", "endpoints": "[string]"},
    "resources": {
        "toy:index:Thing": {
            "inputs": {
                "name": "string computed replace",
                "size": "string",
                "region": "string replace",
                "tags": "[string]",
                "parts": "[Part]",
                "password": "string",
                "count": "integer",
                "a": "string",
                "b": "string",
                "broken": "boolean",
            },
            "outputs": {"address": "string", "token": "string secret"},
            "autoname": "name",
            "defaults": {"count": 1},
            "sets": ["tags"],
            "values": {"size": ["small", "large"]},
            "conflicts": [["a", "b"]],
        },
        "toy:index:Loose": {
            "inputs": {"text": "string required"},
            "outputs": {"upper": "string"},
        },
    },
    "functions": {
        "toy:index:lookUp": {
            "args": {"name": "string required"},
            "result": {"secret": "string secret"},
        }
    },
    "types": {"Part": {"inputs": {"port": "integer required", "kind": "string replace"}}},
}


class Thing(Resource):
    token = "toy:index:Thing"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        if inputs.get("region") == "moon":
            yield Failure("region", "has no data centre")

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        shrinks = olds.get("size") == "large" and news.get("size") == "small"
        return Change(replace=frozenset({"size"} if shrinks else ()))

    def preview(self, ctx: Context, inputs: Props) -> Props:
        return {"address": "10.0.0.1"} if inputs.get("region") == "known" else {}

    def create(self, ctx: Context, inputs: Props) -> Created:
        self.calls.append(f"create {inputs['name']}")
        if inputs.get("a") == "refuse":
            raise ApiError(422, f"the password {inputs['password']} is too weak")
        if inputs.get("a") == "crash":
            raise RuntimeError("a bug")
        number = ctx.store.next("toy", 1)
        error = "it is broken" if inputs.get("broken") else None
        outputs = {"address": f"10.0.0.{number}", "token": f"token-{number}"}
        return Created(id=str(number), outputs=outputs, init_error=error)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        self.calls.append(f"update {outputs['name']}")
        return {**outputs, **news}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        self.calls.append(f"delete {outputs['name']}")


class Loose(Resource):
    token = "toy:index:Loose"
    recorded = False

    def preview(self, ctx: Context, inputs: Props) -> Props:
        return {"upper": UNKNOWN}

    def create(self, ctx: Context, inputs: Props) -> Created:
        return Created(id="loose", outputs={"upper": inputs["text"].upper()})

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return {**news, "upper": news["text"].upper()}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        pass


class LookUp(Function):
    token = "toy:index:lookUp"

    def call(self, ctx: Context, args: Props) -> Props:
        if args["name"] == "nobody":
            raise ApiError(404, "nobody is not found")
        return {"secret": f"{args['name']} of {ctx.config['token']}"}


class Toy(Package):
    def configure(self, ctx: Context) -> None:
        if ctx.config.get("token") == "wrong":
            raise ApiError(401, "the token is not accepted")


def package() -> Package:
    return Toy(
        name="toy",
        version="1.0.0",
        resources=[Thing(), Loose()],
        functions=[LookUp()],
        schema=schema.parse("toy", TABLE),
    )


PROGRAM = """
    import pulumi

    class Thing(pulumi.CustomResource):
        address: pulumi.Output[str]
        token: pulumi.Output[str]
        def __init__(self, name, props, opts=None):
            props = dict(dict(address=None, token=None), **props)
            super().__init__("toy:index:Thing", name, props, opts)

    class Toy(pulumi.ProviderResource):
        def __init__(self, name, props):
            super().__init__("toy", name, props)

"""
