"""What a droplet's Docker has before any container: the containers' network and the pulled images.

Owns both, on one droplet. Not: the containers; the engine itself, which cloud-init sets up.

- Everything here lives on its droplet: replaced with it, and not deleted by itself when it goes
  (`deleted_with`), because there would be nobody to ask.
- The Docker provider follows a changed address without noticing that the machine is another one;
  only `replace_with` makes it pull there again.
- Images are kept when they leave the program: an older release may still run from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from components.host import Machine


@dataclass(frozen=True, kw_only=True)
class RuntimeArgs:
    """The droplet and the images to pull: ours by digest, the others by tag or digest.

    `connector` only where a tunnel leads to the droplet.
    """

    machine: Machine
    service: pulumi.Input[str]
    gateway: str
    connector: str | None


class Runtime(pulumi.ComponentResource):
    """A network, and the ids of the images that are there."""

    network: pulumi.Output[str]
    """The network's name in Docker."""
    service: pulumi.Output[str]
    """The service image's id."""
    gateway: pulumi.Output[str]
    """The gateway image's id."""
    connector: pulumi.Output[str] | None
    """The connector image's id; None without one."""

    def __init__(
        self, name: str, args: RuntimeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Runtime", name, {}, opts)
        self._child = pulumi.ResourceOptions(
            parent=self,
            replace_with=[args.machine.droplet],
            deleted_with=args.machine.droplet,
            depends_on=[args.machine.ready],
        )
        network = docker.Network(f"{name}-network", driver="bridge", opts=self._child)
        self.network = network.name
        self.service = self._pull(f"{name}-service", args.service)
        self.gateway = self._pull(f"{name}-gateway", args.gateway)
        self.connector = self._pull(f"{name}-connector", args.connector) if args.connector else None
        self.register_outputs(
            {
                "network": self.network,
                "service": self.service,
                "gateway": self.gateway,
                "connector": self.connector,
            }
        )

    def _pull(self, name: str, image: pulumi.Input[str]) -> pulumi.Output[str]:
        pulled = docker.RemoteImage(name, name=image, keep_locally=True, opts=self._child)
        image_id: pulumi.Output[str] = pulled.image_id
        return image_id
