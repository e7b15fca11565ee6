"""What a provider double is made of: one `Resource` per resource type, one `Function` per invoke.

The servicer (`twin.protocol.servicer`) does what is the same for every type: it decodes secrets and
unknowns, checks the inputs against the type's schema (unknown property, missing property, wrong
type, value list, conflict), names what was left unnamed where the real provider does, computes the
diff from the schema's replace rules, keeps the record of what exists, and marks secret outputs. A
`Resource` adds what is particular: rules between values, what creating it does, what it answers.

Property names are the engine's (camelCase). Handlers see plain values: secrets are unwrapped before
and marked again after by name; `UNKNOWN` stands for what a preview does not know yet.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from twin.clock import Clock

if TYPE_CHECKING:
    from twin.protocol.schema import PackageSchema
    from twin.store import Store
    from twin.world import World

Props = dict[str, Any]


class _Unknown:
    """A value a preview cannot know; compares equal to nothing but itself."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = _Unknown()


class ApiError(Exception):
    """The cloud refused: shown to the user as the real provider would, e.g. `422 name is taken`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True)
class Failure:
    """A bad input: `property` is its path (`rules[0].portRange`), empty for the whole resource."""

    property: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a handler may use. One per configured provider instance (gRPC peer).

    `config` is that instance's configuration (secrets unwrapped); `store` the record of everything
    the twin's clouds hold; `world` what stands behind them; `account` the account as it was before
    the program ran (zones, tokens), from the file the twin was started with. `clock` is the twin's:
    what takes its time in a cloud is over when it says so. `stop` is set when the engine cancels or
    goes away: whatever waits or runs something should look at it. `say` shows a line in the
    engine's output, beside the resource; `secrets` are texts it must not show. `timeout` is the
    resource's custom timeout in seconds, 0 for none.
    """

    config: Mapping[str, Any]
    store: Store
    world: World
    account: Mapping[str, Any]
    clock: Clock = field(default_factory=Clock)
    stop: threading.Event = field(default_factory=threading.Event)
    say: Callable[[str], None] = field(default=lambda line: None)
    secrets: frozenset[str] = frozenset()
    timeout: float = 0

    def masked(self, text: str) -> str:
        """The text with every known secret replaced by `[secret]`."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, "[secret]")
        return text


@dataclass(frozen=True, kw_only=True)
class Created:
    """A new resource: its id and all its outputs (inputs included where the provider echoes them).

    With `init_error` the resource exists but is not right (a container that never became healthy):
    it is recorded, and the engine reports the error.
    """

    id: str
    outputs: Props
    init_error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a handler wants changed about the diff computed from the schema."""

    replace: frozenset[str] = frozenset()
    update: frozenset[str] = frozenset()
    ignore: frozenset[str] = frozenset()
    delete_before_replace: bool | None = None


class Resource:
    """One resource type of a provider double; subclasses are listed by their package."""

    token: ClassVar[str]
    """`digitalocean:index/vpc:Vpc`"""

    recorded: ClassVar[bool] = True
    """Whether a cloud holds it; False for what only the engine's state holds (random, command)."""

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        """Rules beyond the schema: value lists, conflicts, plan limits. Skip what is `UNKNOWN`."""
        return ()

    def normalize(self, ctx: Context, inputs: Props, olds: Props) -> Props:
        """Inputs as the provider's Check returns them: defaults filled in, values canonical.

        `olds` are the inputs of the last run, empty on create: a default that is computed (a hash
        of a folder, a random name) keeps its old value where nothing changed.
        """
        return inputs

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        """Adjust the schema's verdict; `changed` are the top-level inputs that differ."""
        return Change()

    def preview(self, ctx: Context, inputs: Props) -> Props:
        """Outputs known before creation, beside the inputs; everything else is unknown.

        Before an update too: there everything else is as it was, so what an update changes beyond
        the inputs must be answered here, as `UNKNOWN` where it cannot be told.
        """
        return {}

    def create(self, ctx: Context, inputs: Props) -> Created:
        """Make it. Called again after a crash it must find what it made."""
        raise NotImplementedError

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        """Its outputs as they are now, None when it is gone. Default: what was recorded."""
        return outputs

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        """Change it in place and return all its outputs."""
        raise NotImplementedError

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Remove it; already gone is fine."""
        raise NotImplementedError


class Function:
    """One invoke (data source) of a provider double."""

    token: ClassVar[str]
    """`digitalocean:index/getDatabaseCa:getDatabaseCa`"""

    def call(self, ctx: Context, args: Props) -> Props:
        """Answer it; ApiError when the cloud would refuse."""
        raise NotImplementedError


@dataclass
class Package:
    """A provider: its name and version, resource types and invokes, its configuration's rules."""

    name: str
    version: str
    resources: list[Resource] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    schema: PackageSchema | None = None
    """Its table; None for the one of its name in `twin/clouds/schemas`."""

    def check_config(self, account: Mapping[str, Any], config: Props) -> Iterable[Failure]:
        """Rules for the provider's own configuration (a token of the right shape, …)."""
        return ()

    def collect(self, ctx: Context) -> list[str]:
        """Remove what a crash left without a record, and say what it was."""
        return []

    def cancel(self) -> None:
        """The engine is going away in a hurry; running calls see `Context.stop` themselves."""

    def configure(self, ctx: Context) -> None:
        """Called once per provider instance; ApiError(401, …) for credentials the cloud refuses."""
