"""The docker provider: images, networks and containers on real engines, or made up on paper.

As strict as the real provider where it validates, and as blunt where it does not: what the engine
refuses comes back in the engine's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from twin.clouds.docker.container import Container
from twin.clouds.docker.engines import Engines
from twin.clouds.docker.image import Image
from twin.clouds.docker.network import Network
from twin.clouds.docker.remote_image import RemoteImage
from twin.clouds.docker.ssh import HostError, SshHost
from twin.protocol.resource import UNKNOWN, Context, Failure, Package, Props


class _Docker(Package):
    def check_config(self, account: Mapping[str, Any], config: Props) -> Iterable[Failure]:
        """The host must be dialled as it is written.

        The real provider lets `context` win over `host` without a word; both together is a mistake
        that deploys to another machine, so the twin refuses it.
        """
        host, options = config.get("host"), config.get("sshOpts")
        if host is not None and config.get("context") is not None:
            yield Failure("context", "silently wins over `host`; give only one of them")
        if isinstance(host, str) and host.startswith("ssh://"):
            try:
                SshHost.parse(host)
            except HostError as error:
                yield Failure("host", str(error))
        elif options and host is not UNKNOWN:
            yield Failure("sshOpts", "is only used with a host of the form ssh://user@host")

    def collect(self, ctx: Context) -> list[str]:
        """Containers that were being made when the twin was killed."""
        return [
            said
            for resource in self.resources
            if isinstance(resource, Container)
            for said in resource.collect(ctx)
        ]


def package() -> Package:
    """The docker provider in the installed SDK's version."""
    engines = Engines()
    return _Docker(
        name="docker",
        version=version("pulumi-docker"),
        resources=[Image(engines), RemoteImage(engines), Network(engines), Container(engines)],
    )
