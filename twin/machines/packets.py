"""Packet filters as nftables text: the cloud firewall of a droplet, trusted sources of a database.

Both are a table of the twin's own inside the container's network namespace; what the guest does
with ufw, iptables or nftables has other tables. Rules:

- A droplet that no firewall covers is open; one that a firewall covers admits only what is named,
  inbound and outbound, on the public and the private interface alike, reserved addresses included
  (DigitalOcean, cloud firewalls: "any traffic that isn't expressly permitted is blocked").
- Stateful: answers to admitted connections pass.
- Inbound is judged before the guest's own address translation (a port that the guest's Docker
  publishes is judged as it arrives), outbound after it.
- Not admitted is dropped in silence, as the cloud does: a caller waits, it is not refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from twin.world import FirewallRule, WorldError

_CLOUD_TABLE = "twin_cloud_firewall"
_SOURCES_TABLE = "twin_trusted_sources"


def cloud_firewall(firewalls: Sequence[Sequence[FirewallRule]], interfaces: Sequence[str]) -> str:
    """The table for a droplet under these firewalls, to be loaded with `nft -f`; loads atomically.

    Several firewalls add up. With none the table is only removed.
    """
    if not firewalls:
        return _replace(_CLOUD_TABLE, "")
    rules = [rule for firewall in firewalls for rule in firewall]
    on = "{ " + ", ".join(interfaces) + " }"
    inbound = _chain("inbound", "prerouting priority -150", "iifname", on, "saddr", rules)
    outbound = _chain("outbound", "postrouting priority 150", "oifname", on, "daddr", rules)
    return _replace(_CLOUD_TABLE, inbound + outbound)


def trusted_sources(addresses: Sequence[str], ports: Sequence[int], *, open_to_all: bool) -> str:
    """The table for a database whose `ports` admit only these addresses (single or CIDR, IPv4)."""
    if open_to_all:
        return _replace(_SOURCES_TABLE, "")
    on = ", ".join(str(port) for port in ports)
    lines = ["type filter hook input priority 0; policy accept;", "iifname lo accept"]
    lines.append("ct state established,related accept")
    if addresses:
        lines.append(f"ip saddr {_set(_networks(addresses, 4))} tcp dport {{ {on} }} accept")
    lines.append(f"tcp dport {{ {on} }} drop")
    return _replace(_SOURCES_TABLE, _block("chain inbound", lines))


def _chain(
    name: str, hook: str, match: str, interfaces: str, side: str, rules: Iterable[FirewallRule]
) -> str:
    lines = [
        f"type filter hook {hook}; policy accept;",
        f"{match} != {interfaces} accept",
        "ct state established,related accept",
        # Neighbour discovery is how a link works, not traffic that a cloud firewall judges.
        "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ]
    for rule in rules:
        if rule.direction == name:
            lines += _accept(rule, side)
    lines.append("drop")
    return _block(f"chain {name}", lines)


def _accept(rule: FirewallRule, side: str) -> Iterable[str]:
    for version, family, icmp in ((4, "ip", "icmp"), (6, "ip6", "ipv6-icmp")):
        networks = _networks(rule.addresses, version)
        if networks:
            protocol = icmp if rule.protocol == "icmp" else rule.protocol
            wanted = _ports(rule) if rule.protocol != "icmp" else ""
            yield (
                f"{_peer(family, side, networks)} meta l4proto {protocol} {wanted}".rstrip()
                + " accept"
            )


def _peer(family: str, side: str, networks: Sequence[IPv4Network | IPv6Network]) -> str:
    if any(network.prefixlen == 0 for network in networks):
        return f"meta nfproto {'ipv4' if family == 'ip' else 'ipv6'}"
    return f"{family} {side} {_set(networks)}"


def _ports(rule: FirewallRule) -> str:
    """`22`, `8000-9000`; empty, `0` and `all` are every port, as the API reads them."""
    if rule.ports in ("", "0", "all"):
        return ""
    low, dash, high = rule.ports.partition("-")
    ends = (low, high) if dash else (low,)
    if not all(end.isdigit() and 1 <= int(end) <= 65535 for end in ends):
        raise WorldError(f"A firewall rule names the ports {rule.ports!r}: write 22 or 8000-9000.")
    return f"th dport {low}-{high}" if high else f"th dport {low}"


def _networks(addresses: Iterable[str], version: int) -> list[IPv4Network | IPv6Network]:
    try:
        parsed = [ip_network(address, strict=False) for address in addresses]
    except ValueError as error:
        raise WorldError(f"A firewall rule names no address or CIDR: {error}.") from error
    return sorted({network for network in parsed if network.version == version}, key=str)


def _set(networks: Sequence[IPv4Network | IPv6Network]) -> str:
    # An interval set refuses overlapping elements; rules may well name 10.0.0.0/8 and 10.1.0.0/16.
    apart = [
        network
        for network in networks
        if not any(
            other != network
            and int(other.network_address) <= int(network.network_address)
            and int(network.broadcast_address) <= int(other.broadcast_address)
            for other in networks
        )
    ]
    return "{ " + ", ".join(str(network) for network in apart) + " }"


def _replace(table: str, body: str) -> str:
    """Text that puts the table in place of what stands, all or nothing."""
    # `table` before `delete` makes deleting one that does not stand no error.
    removed = f"table inet {table} {{}}\ndelete table inet {table}\n"
    return removed + (f"table inet {table} {{\n{body}}}\n" if body else "")


def _block(head: str, lines: Iterable[str]) -> str:
    return f"  {head} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"
