"""DNS records that protect the zone's name itself; pure data.

- CAA: only the authorities that Cloudflare's universal certificates come from may issue for the
  zone (ssl/reference/certificate-authorities). Without an `issuewild` record, `issue` covers
  wildcards too (RFC 8659).
- Mail: a domain that sends none says so, or others send in its name: SPF `-all` (RFC 7208), DMARC
  reject (RFC 7489), a null MX (RFC 7505), and an empty key for every DKIM selector (RFC 6376). One
  that sends says who may (SPF), and what is to become of the rest (DMARC); its MX and its DKIM keys
  are its mail provider's, who names them.
- Names that only redirect need a proxied record; `100::` is the discard prefix (RFC 6666), which
  nothing ever reaches, because the edge answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

AUTHORITIES: Final = ("letsencrypt.org", "pki.goog", "ssl.com")
TTL: Final = 3600
PROXIED_TTL: Final = 1
"""What a proxied record must have: automatic."""
DISCARD: Final = "100::"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record; `suffix` names its resource, `name` is the full name."""

    suffix: str
    name: str
    kind: str
    comment: str
    content: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    priority: int | None = None
    proxied: bool = False

    @property
    def ttl(self) -> int:
        """Seconds a resolver may keep it."""
        return PROXIED_TTL if self.proxied else TTL


@dataclass(frozen=True, kw_only=True)
class Mail:
    """How a zone sends mail: whose servers may, and what receivers do with other mail in its name.

    `reports` gets the receivers' daily reports about both.
    """

    senders: tuple[str, ...]
    others: Literal["quarantine", "reject"] = "quarantine"
    reports: str | None = None

    def __post_init__(self) -> None:
        if not self.senders:
            raise ValueError("senders=(): all its mail would be refused; name the provider's SPF")


def records(zone: str, *, mail: Mail | None, redirected: Sequence[str]) -> tuple[Record, ...]:
    """The records of a zone; without `mail` it sends none, and says so."""
    wanted = [
        Record(
            suffix=f"caa-{authority.replace('.', '-')}",
            name=zone,
            kind="CAA",
            data={"flags": 0, "tag": "issue", "value": authority},
            comment="Who may issue certificates",
        )
        for authority in AUTHORITIES
    ]
    wanted += _no_mail(zone) if mail is None else _mail(zone, mail)
    wanted += [
        Record(
            suffix=f"redirect-{name.replace('.', '-')}",
            name=name,
            kind="AAAA",
            content=DISCARD,
            proxied=True,
            comment="Only redirects; the edge answers",
        )
        for name in redirected
    ]
    return tuple(wanted)


def _mail(zone: str, mail: Mail) -> list[Record]:
    senders = " ".join(f"include:{sender}" for sender in mail.senders)
    reports = f"; rua=mailto:{mail.reports}" if mail.reports else ""
    return [
        Record(
            suffix="spf",
            name=zone,
            kind="TXT",
            content=f'"v=spf1 {senders} -all"',
            comment="Who sends mail from this name",
        ),
        Record(
            suffix="dmarc",
            name=f"_dmarc.{zone}",
            kind="TXT",
            content=f'"v=DMARC1; p={mail.others}; sp=reject{reports}"',
            comment="What is to become of other mail in this name",
        ),
    ]


def _no_mail(zone: str) -> list[Record]:
    return [
        Record(
            suffix="spf",
            name=zone,
            kind="TXT",
            content='"v=spf1 -all"',
            comment="Nobody sends mail from this name",
        ),
        Record(
            suffix="dmarc",
            name=f"_dmarc.{zone}",
            kind="TXT",
            content='"v=DMARC1; p=reject; sp=reject; adkim=s; aspf=s"',
            comment="Mail in this name is to be refused",
        ),
        Record(
            suffix="dkim",
            name=f"*._domainkey.{zone}",
            kind="TXT",
            content='"v=DKIM1; p="',
            comment="No key signs mail of this name",
        ),
        Record(
            suffix="null-mx",
            name=zone,
            kind="MX",
            content=".",
            priority=0,
            comment="This name takes no mail",
        ),
    ]
