"""The two steps between a pulled image and its first container: prepare the database, migrate it.

Owns the steps, which run once per release on one droplet. Not: what they do, which the image knows.

They are commands and not containers: a container's exit code does not fail an update, and a
container that failed counts as done the next time. A command whose creation fails is not recorded:
nothing that depends on it is touched, the old release serves on, and the next `up` tries again.
Secrets travel on standard input, so that no argument list, on either machine, ever holds one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_command as command

from components.database import APP, MIGRATOR
from components.host import Machine
from components.ssh import Ssh, assignments

STEP_TIMEOUT: Final = "15m"


@dataclass(frozen=True, kw_only=True)
class ReleaseArgs:
    """Where the steps run, from which image, and the environment of each.

    `release` is the image's reference; `image` its id on the machine; `network` the containers'.
    """

    machine: Machine
    ssh: Ssh
    release: pulumi.Input[str]
    image: pulumi.Input[str]
    network: pulumi.Input[str]
    prepare: Mapping[str, pulumi.Input[str]]
    migrate: Mapping[str, pulumi.Input[str]]


class Release(pulumi.ComponentResource):
    """The steps of a release; what depends on this component waits until the schema is ready."""

    migrated: pulumi.Output[str]
    """The id of the migrate step: known once the schema fits the image."""

    def __init__(
        self, name: str, args: ReleaseArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Release", name, {}, opts)
        roles = {"PAYMENTS_MIGRATOR_ROLE": MIGRATOR, "PAYMENTS_APP_ROLE": APP}
        prepare = self._step(
            f"{name}-prepare-database", args, "prepare-database", {**args.prepare, **roles}, []
        )
        migrate = self._step(f"{name}-migrate", args, "migrate", args.migrate, [prepare])
        self.migrated = migrate.id
        self.register_outputs({"migrated": self.migrated})

    def _step(
        self,
        name: str,
        args: ReleaseArgs,
        step: str,
        environment: Mapping[str, pulumi.Input[str]],
        after: Sequence[pulumi.Resource],
    ) -> command.local.Command:
        names = sorted(environment)
        text: pulumi.Output[str] = pulumi.Output.all(**environment).apply(
            lambda values: assignments({k: str(v) for k, v in values.items()})
        )
        stdin: pulumi.Output[str] = pulumi.Output.secret(text)
        return command.local.Command(
            name,
            create=pulumi.Output.all(args.machine.address, args.network, args.image).apply(
                lambda known: args.ssh.command(
                    known[0], step_script(step, network=known[1], image=known[2], names=names)
                )
            ),
            stdin=stdin,
            triggers=[args.release, args.machine.droplet_id],
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[args.machine.ready, *after],
                deleted_with=args.machine.droplet,
                custom_timeouts=pulumi.CustomTimeouts(create=STEP_TIMEOUT, update=STEP_TIMEOUT),
            ),
        )


def step_script(step: str, *, network: str, image: str, names: Sequence[str]) -> str:
    """What runs on the droplet: a hardened one-shot container of the new image.

    `names` are the variables that standard input assigns; Docker takes their values from the
    shell's environment.
    """
    passed = " ".join(f"--env {name}" for name in names)
    return (
        'set -ae; eval "$(cat)"; exec docker run --rm --pull never --init '
        f"--network {network} --read-only --tmpfs /tmp:size=16m --cap-drop ALL "
        "--security-opt no-new-privileges:true --pids-limit 128 --memory 256m --user 10001:10001 "
        f"{passed} --entrypoint payments {image} {step}"
    )
