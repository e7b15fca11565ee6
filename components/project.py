"""The DigitalOcean project that gathers an environment's resources, for its bill and its panel.

Owns the project and the membership. Not: the members. Only droplets, clusters and buckets can be
members; a VPC, a firewall or a key cannot. Membership is a resource of its own: a list inside the
project would have to know everything before anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
import pulumi_digitalocean as digitalocean


@dataclass(frozen=True, kw_only=True)
class ProjectArgs:
    """The environment's label and the URNs (DigitalOcean's) of the members."""

    environment: Literal["Development", "Staging", "Production"]
    members: Sequence[pulumi.Input[str]] | pulumi.Input[Sequence[str]]


class Project(pulumi.ComponentResource):
    """A project with its members."""

    project_id: pulumi.Output[str]
    """The project's UUID."""

    def __init__(
        self, name: str, args: ProjectArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Project", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        project = digitalocean.Project(
            f"{name}-project",
            description="Payments platform",
            purpose="Service or API",
            environment=args.environment,
            opts=child,
        )
        digitalocean.ProjectResources(
            f"{name}-members", project=project.id, resources=args.members, opts=child
        )
        self.project_id = project.id
        self.register_outputs({"project_id": self.project_id})
