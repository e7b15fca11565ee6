"""The random provider: values drawn once, kept in the engine's state only.

Rules and defaults: hashicorp/terraform-provider-random, internal/provider/resource_*.go.
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Iterable
from importlib.metadata import version
from typing import ClassVar, Final

import bcrypt

from twin.protocol.resource import (
    UNKNOWN,
    Context,
    Created,
    Failure,
    Package,
    Props,
    Resource,
)

_SPECIAL: Final = "!@#$%&*()-_=+[]{}<>:?"
_MINIMA: Final = (
    ("minLower", "lower"),
    ("minUpper", "upper"),
    ("minNumeric", "numeric"),
    ("minSpecial", "special"),
)
_BCRYPT_COST: Final = 10  # the provider's (golang.org/x/crypto/bcrypt.DefaultCost)
_BCRYPT_BYTES: Final = 72  # what bcrypt reads of a password; the provider cuts there


class _Drawn(Resource):
    """A value drawn at creation; every change replaces, nothing is held outside the state."""

    recorded = False

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Nothing can change in place; the engine asks only after a failed create."""
        return outputs

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Nothing to remove."""


class _Text(_Drawn):
    """What RandomPassword and RandomString share."""

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """Length and minima must fit, and there must be something to draw from."""
        length = inputs["length"]
        minima = [inputs[name] for name, _ in _MINIMA]
        if length is UNKNOWN or UNKNOWN in minima:
            return
        if length < 1:
            yield Failure("length", f"must be at least 1, not {length}")
        if length < sum(minima):
            total = sum(minima)
            yield Failure("length", f"{length} is less than the minima together ({total})")
        if not _alphabet(inputs):
            yield Failure("", "has no characters to draw from: every class is switched off")

    def normalize(self, ctx: Context, inputs: Props, olds: Props) -> Props:
        """`number` is the old name of `numeric`."""
        return inputs | ({"numeric": inputs["number"]} if "number" in inputs else {})

    def draw(self, inputs: Props) -> str:
        """The minima from their classes, the rest from all, in random order."""
        classes = _classes(inputs)
        drawn = [
            secrets.choice(classes[switch])
            for minimum, switch in _MINIMA
            for _ in range(inputs[minimum])
        ]
        alphabet = _alphabet(inputs)
        drawn += [secrets.choice(alphabet) for _ in range(inputs["length"] - len(drawn))]
        secrets.SystemRandom().shuffle(drawn)
        return "".join(drawn)

    def echo(self, inputs: Props) -> Props:
        """The inputs as outputs, the alias included."""
        return {**inputs, "number": inputs["numeric"]}


class RandomPassword(_Text):
    """`result` and `bcryptHash`, both secret."""

    token: ClassVar[str] = "random:index/randomPassword:RandomPassword"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Draw it."""
        result = self.draw(inputs)
        salt = bcrypt.gensalt(_BCRYPT_COST)
        hashed = bcrypt.hashpw(result.encode()[:_BCRYPT_BYTES], salt).decode()
        outputs = {**self.echo(inputs), "result": result, "bcryptHash": hashed}
        return Created(id="none", outputs=outputs)


class RandomString(_Text):
    """`result`, not secret, and the id too."""

    token: ClassVar[str] = "random:index/randomString:RandomString"

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Draw it."""
        result = self.draw(inputs)
        return Created(id=result, outputs={**self.echo(inputs), "result": result})


class RandomId(_Drawn):
    """`byteLength` random bytes in four notations, each after `prefix`; the id has no prefix."""

    token: ClassVar[str] = "random:index/randomId:RandomId"

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """At least one byte."""
        if inputs["byteLength"] is not UNKNOWN and inputs["byteLength"] < 1:
            yield Failure("byteLength", f"must be at least 1, not {inputs['byteLength']}")

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Draw it."""
        raw = secrets.token_bytes(inputs["byteLength"])
        prefix = inputs.get("prefix", "")
        url = base64.urlsafe_b64encode(raw).decode().rstrip("=")
        outputs = {
            "hex": prefix + raw.hex(),
            "b64Url": prefix + url,
            "b64Std": prefix + base64.b64encode(raw).decode(),
            "dec": prefix + str(int.from_bytes(raw, "big")),
        }
        return Created(id=url, outputs=outputs)


class RandomBytes(_Drawn):
    """`length` random bytes as `base64` and `hex`, both secret."""

    token: ClassVar[str] = "random:index/randomBytes:RandomBytes"

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """At least one byte."""
        if inputs["length"] is not UNKNOWN and inputs["length"] < 1:
            yield Failure("length", f"must be at least 1, not {inputs['length']}")

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Draw it."""
        raw = secrets.token_bytes(inputs["length"])
        outputs = {"base64": base64.b64encode(raw).decode(), "hex": raw.hex()}
        return Created(id="none", outputs=outputs)


def package() -> Package:
    """The random provider in the installed SDK's version."""
    return Package(
        name="random",
        version=version("pulumi-random"),
        resources=[RandomPassword(), RandomString(), RandomId(), RandomBytes()],
    )


def _classes(inputs: Props) -> dict[str, str]:
    special = inputs.get("overrideSpecial") or _SPECIAL
    return {
        "lower": string.ascii_lowercase,
        "upper": string.ascii_uppercase,
        "numeric": string.digits,
        "special": special,
    }


def _alphabet(inputs: Props) -> str:
    return "".join(text for switch, text in _classes(inputs).items() if inputs[switch])
