"""The droplets: SSH keys, machines, reserved addresses, and the gate that says a machine is ready.

Owns the keys, the droplets, their reserved addresses and the host-ready gates. Not: the network
and its firewall, which must stand first; what runs in Docker.

- The droplet has no `name`: a name that the program sets makes every replacement delete before it
  creates, and this droplet may be the only one.
- `active` is not booted: the API answers as soon as the machine has power. The gate waits until
  cloud-init has finished and Docker answers; a gate that fails is not recorded, so that the next
  `up` asks again, and nothing is deployed in between.
- A public key exists once per account: two environments in one account need keys of their own.
- A changed key or cloud-init text replaces the droplet (the provider cannot change either).
- Deleting an assignment whose address is no longer assigned crashed the provider: it goes with its
  droplet instead (`deleted_with`).
- With a graceful shutdown the deletion may take longer than the provider's 60 seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pulumi
import pulumi_command as command
import pulumi_digitalocean as digitalocean

from components import cloud_init
from components.ssh import Ssh

DOCKER_POOLS: Final = ("172.30.0.0/24", cloud_init.DOCKER_POOL)
"""The ranges from which a droplet's Docker numbers containers."""

READY_TIMEOUT_SECONDS: Final = 600


@dataclass(frozen=True, kw_only=True)
class BackupPolicy:
    """When a droplet is backed up; `hour` (UTC) begins a window of four hours."""

    plan: Literal["daily", "weekly"]
    weekday: str
    hour: int


@dataclass(frozen=True, kw_only=True)
class HostArgs:
    """How many droplets, what they are, where they stand, who may log in.

    `published` are the ports that its containers may offer to the outside; changing them replaces
    the droplet. `after` is what must be there before a droplet, and therefore outlives it.
    """

    count: int
    size: str
    image: str
    backups: BackupPolicy | None
    reserved_ip: bool

    region: str
    vpc_id: pulumi.Input[str]
    tag: pulumi.Input[str]
    firewall_id: pulumi.Input[str]

    public_keys: Sequence[str]
    ssh: Ssh
    published: Sequence[int] = ()
    after: Sequence[pulumi.Resource] = ()

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"count={self.count}: the platform needs a droplet; set it to 1")
        if not self.public_keys:
            raise ValueError("public_keys=(): without a key nobody could log in; give at least one")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One droplet that is ready: what a deployment on it needs to know."""

    name: str
    droplet: pulumi.Resource
    droplet_id: pulumi.Output[str]
    address: pulumi.Output[str]
    ready: pulumi.Resource


class Host(pulumi.ComponentResource):
    """The droplets, each behind its host-ready gate."""

    addresses: pulumi.Output[list[str]]
    """The droplets' own public IPv4 addresses, in order."""
    reserved_addresses: pulumi.Output[list[str]]
    """The addresses that outlive them; empty without `reserved_ip`."""
    urns: pulumi.Output[list[str]]
    """The droplets' DigitalOcean URNs, for the project."""

    machines: list[Machine]

    def __init__(
        self, name: str, args: HostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Host", name, {}, opts)
        keys = [
            digitalocean.SshKey(
                f"{name}-key-{index}",
                public_key=key,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for index, key in enumerate(args.public_keys)
        ]
        droplets = [self._droplet(f"{name}-{i}", args, keys) for i in range(args.count)]
        self.machines = [
            self._machine(f"{name}-{index}", args, droplet)
            for index, droplet in enumerate(droplets)
        ]
        reserved = (
            [self._reserve(m, args.region) for m in self.machines] if args.reserved_ip else []
        )
        self.addresses = pulumi.Output.all(*[m.address for m in self.machines])
        self.reserved_addresses = pulumi.Output.all(*reserved)
        self.urns = pulumi.Output.all(*[droplet.droplet_urn for droplet in droplets])
        self.register_outputs(
            {
                "addresses": self.addresses,
                "reserved_addresses": self.reserved_addresses,
                "urns": self.urns,
            }
        )

    def _droplet(
        self, name: str, args: HostArgs, keys: Sequence[digitalocean.SshKey]
    ) -> digitalocean.Droplet:
        policy = args.backups
        return digitalocean.Droplet(
            name,
            image=args.image,
            size=args.size,
            region=args.region,
            vpc_uuid=args.vpc_id,
            # The tag's firewall must stand before the machine has power.
            tags=[pulumi.Output.all(args.tag, args.firewall_id).apply(lambda both: str(both[0]))],
            ssh_keys=[key.fingerprint for key in keys],
            user_data=cloud_init.render(
                image=args.image,
                public_keys=args.public_keys,
                user=args.ssh.user,
                published=args.published,
            ),
            monitoring=True,
            droplet_agent=False,  # it would open the web console's way in
            ipv6=False,
            graceful_shutdown=True,
            backups=policy is not None,
            backup_policy=None
            if policy is None
            else digitalocean.DropletBackupPolicyArgs(
                plan=policy.plan,
                hour=policy.hour,
                weekday=policy.weekday if policy.plan == "weekly" else None,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=list(args.after),
                custom_timeouts=pulumi.CustomTimeouts(delete="10m"),
            ),
        )

    def _machine(self, name: str, args: HostArgs, droplet: digitalocean.Droplet) -> Machine:
        ready = command.local.Command(
            f"{name}-ready",
            create=droplet.ipv4_address.apply(lambda address: wait_script(args.ssh, address)),
            triggers=[droplet.id],
            opts=pulumi.ResourceOptions(
                parent=self,
                deleted_with=droplet,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{READY_TIMEOUT_SECONDS + 60}s"),
            ),
        )
        return Machine(
            name=name,
            droplet=droplet,
            droplet_id=droplet.id,
            address=droplet.ipv4_address,
            ready=ready,
        )

    def _reserve(self, machine: Machine, region: str) -> pulumi.Output[str]:
        address = digitalocean.ReservedIp(
            f"{machine.name}-address", region=region, opts=pulumi.ResourceOptions(parent=self)
        )
        digitalocean.ReservedIpAssignment(
            f"{machine.name}-assignment",
            ip_address=address.ip_address,
            droplet_id=machine.droplet_id.apply(int),
            # A new droplet takes the address over only once it is ready.
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[machine.ready], deleted_with=machine.droplet
            ),
        )
        reserved: pulumi.Output[str] = address.ip_address
        return reserved


_REMOTE_CHECK: Final = """\
cloud-init status --wait >/dev/null 2>&1
state=$?
if [ $state -ne 0 ] && [ $state -ne 2 ]; then
  echo "cloud-init failed on this droplet:" >&2
  cloud-init status --long >&2
  tail -n 30 /var/log/cloud-init-output.log >&2
  exit 1
fi
docker version >/dev/null
"""
"""Exit code 2 of `cloud-init status` is done with warnings."""


def wait_script(ssh: Ssh, address: str) -> str:
    """The gate's shell script: wait for SSH, then for cloud-init, then for Docker; or say why not.

    ssh's exit code 255 is the connection's own failure; anything else came from the droplet.
    A new droplet may have the address of an old one, whose host key is then forgotten first; not
    when the gate is only asked again (the provider hands over what it said before), because that
    droplet's key is known.
    """
    return f"""\
if [ -z "${{PULUMI_COMMAND_STDOUT:-}}" ]; then
  {ssh.describe(address)} 2>/dev/null | sed -n 's/^userknownhostsfile //p' | while read -r files; do
    for file in "$files" $files; do
      [ ! -f "$file" ] || ssh-keygen -R {address} -f "$file" >/dev/null 2>&1
    done
  done
fi
deadline=$(($(date +%s) + {READY_TIMEOUT_SECONDS}))
while :; do
  said=$({ssh.command(address, _REMOTE_CHECK)} 2>&1 </dev/null)
  code=$?
  if [ $code -eq 0 ]; then echo ready; exit 0; fi
  if [ $code -ne 255 ] || [ $(date +%s) -ge $deadline ]; then break; fi
  sleep 1
done
echo "droplet {address} is not ready (exit code $code): $said" >&2
exit 1
"""
