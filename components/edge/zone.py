"""The zone itself: its settings, DNSSEC, how paths are normalised, and its protective records.

Owns what holds for the whole zone. Not: the zone, which is made by hand once, with its plan; the
rules (`front`); the record that visitors use (the ingress).

- Deleting a setting does not put it back: the provider's delete does nothing.
- Deleting DNSSEC switches it off; while the registrar still publishes the DS record that takes the
  name off the internet. Hence `protect`.
- Paths are normalised for the rules and for the origin alike: both see the same one.
- `ssl=strict` refuses an origin without a valid certificate (526). A tunnel has TLS of its own; for
  other ingresses the setting waits for `origin_ready`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_cloudflare as cloudflare

from components.edge.records import Record


@dataclass(frozen=True, kw_only=True)
class ZoneArgs:
    """The zone's id, its settings (`settings.settings`) and records (`records.records`)."""

    zone_id: str
    settings: Mapping[str, Any]
    records: Sequence[Record]
    protect: bool
    origin_ready: Sequence[pulumi.Resource] = ()


class Zone(pulumi.ComponentResource):
    """Settings, DNSSEC and protective records of one zone."""

    ds: pulumi.Output[str]
    """The DS record that the registrar must publish."""
    records: pulumi.Output[list[str]]
    """The ids of the protective records."""

    def __init__(
        self, name: str, args: ZoneArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Zone", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        for setting, value in args.settings.items():
            late = args.origin_ready if setting == "ssl" else ()
            cloudflare.ZoneSetting(
                f"{name}-{setting.replace('_', '-')}",
                zone_id=args.zone_id,
                setting_id=setting,
                value=value,
                opts=pulumi.ResourceOptions(parent=self, depends_on=list(late)),
            )
        cloudflare.UrlNormalizationSettings(
            f"{name}-paths", zone_id=args.zone_id, type="cloudflare", scope="both", opts=child
        )
        dnssec = cloudflare.ZoneDnssec(
            f"{name}-dnssec",
            zone_id=args.zone_id,
            status="active",
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        made = [_record(name, args.zone_id, record, child) for record in args.records]
        self.ds = dnssec.ds
        self.records = pulumi.Output.all(*(record.id for record in made))
        self.register_outputs({"ds": self.ds, "records": self.records})


def _record(
    name: str, zone_id: str, record: Record, opts: pulumi.ResourceOptions
) -> cloudflare.DnsRecord:
    return cloudflare.DnsRecord(
        f"{name}-{record.suffix}",
        zone_id=zone_id,
        name=record.name,
        type=record.kind,
        ttl=record.ttl,
        content=record.content,
        data=cloudflare.DnsRecordDataArgs(**record.data) if record.data else None,
        priority=record.priority,
        proxied=record.proxied,
        comment=record.comment,
        opts=opts,
    )
