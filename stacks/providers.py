"""The providers, built explicitly and once; default providers are disabled in every stack's file.

A default Docker provider would deploy to whatever engine the environment of the day names.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_cloudflare as cloudflare
import pulumi_command as command
import pulumi_digitalocean as digitalocean
import pulumi_docker as docker
import pulumi_random as random
import pulumi_tls as tls

from components.host import Machine
from components.ssh import Ssh
from stacks.settings import Stack

REQUESTS_PER_SECOND = 4.0
"""DigitalOcean answers 250 requests a minute per token and then 429."""


@dataclass(frozen=True, kw_only=True)
class Providers:
    """The clouds, the tools, and the engine that builds the image."""

    digitalocean: digitalocean.Provider
    cloudflare: cloudflare.Provider
    random: random.Provider
    tls: tls.Provider
    command: command.Provider
    builder: docker.Provider

    def clouds(self) -> list[pulumi.ProviderResource]:
        """What every component but the containers may need."""
        return [self.digitalocean, self.cloudflare, self.random, self.tls, self.command]


def build(stack: Stack) -> Providers:
    """The providers of one stack, from its settings and secrets alone."""
    name, secrets = stack.name, stack.secrets
    return Providers(
        digitalocean=digitalocean.Provider(
            f"{name}-digitalocean",
            token=secrets.digitalocean_token,
            spaces_access_id=secrets.spaces_access_id,
            spaces_secret_key=secrets.spaces_secret_key,
            requests_per_second=REQUESTS_PER_SECOND,
        ),
        cloudflare=cloudflare.Provider(
            f"{name}-cloudflare", api_token=secrets.cloudflare_api_token
        ),
        random=random.Provider(f"{name}-random"),
        tls=tls.Provider(f"{name}-tls"),
        command=command.Provider(f"{name}-command"),
        builder=docker.Provider(f"{name}-builder"),
    )


def engine(stack: Stack, machine: Machine, ssh: Ssh) -> docker.Provider:
    """The Docker engine of one droplet, over SSH; usable once the droplet is ready."""
    registry = stack.settings.app.registry
    login = None
    if registry and registry.username:
        login = [
            docker.ProviderRegistryAuthArgs(
                address=registry.server,
                username=registry.username,
                password=stack.secrets.registry_password,
            )
        ]
    return docker.Provider(
        f"{machine.name}-engine",
        host=machine.address.apply(lambda address: f"ssh://{ssh.user}@{address}"),
        ssh_opts=ssh.arguments(),
        registry_auth=login,
        opts=pulumi.ResourceOptions(depends_on=[machine.ready]),
    )
