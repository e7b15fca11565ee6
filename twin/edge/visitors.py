"""What the edge knows of an address: its country, its network, whether it is a known good bot.

The real edge asks a geolocation database and its list of verified bots. Addresses in the twin are
made up, so its table is made up too: the documentation ranges (RFC 5737, RFC 3849) lie in different
countries, with AS numbers of the documentation range (RFC 5398), and whoever tests assigns others
on the twin's page. Nothing that a visitor sends changes what is known of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from twin.store import Store

UNKNOWN_COUNTRY: Final = "XX"
_REMEMBERED: Final = 4096
_PLACE: Final = ("edge", "visitors")


class Known(BaseModel):
    """What is known of an address or a network.

    `country` is ISO 3166-1 alpha-2, `T1` for Tor or `XX` for unknown; `asn` 0 where there is none;
    `bot` says that it is on the list of verified bots.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: Annotated[str, Field(pattern=r"^([A-Z]{2}|T1)$")] = UNKNOWN_COUNTRY
    asn: Annotated[int, Field(ge=0, lt=2**32)] = 0
    bot: bool = False


Network = IPv4Network | IPv6Network
Table = TypeAdapter(dict[Network, Known])
"""Networks in JSON, addresses among them; validation names what is wrong."""

MADE_UP: Final[dict[Network, Known]] = {
    ip_network("192.0.2.0/24"): Known(country="US", asn=64496),
    ip_network("198.51.100.0/24"): Known(country="DE", asn=64497),
    ip_network("203.0.113.0/24"): Known(country="IN", asn=64498),
    ip_network("2001:db8::/32"): Known(country="NL", asn=64499),
}
CONTINENTS: Final = {"US": "NA", "DE": "EU", "NL": "EU", "IN": "AS", "GB": "EU", "T1": "T1"}
"""Of the made-up table's countries and a few more; empty for the others, as for unknown ones."""
EUROPEAN_UNION: Final = frozenset(
    re.findall("..", "ATBEBGCYCZDEDKEEESFIFRGRHRHUIEITLTLULVMTNLPLPTROSESISK")
)
_NOBODY: Final = Known()


class Visitors:
    """Looks addresses up; what was assigned outlasts a restart."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._assigned = Table.validate_python(store.load(*_PLACE) or {})
        self._find = lru_cache(_REMEMBERED)(self._search)

    def known(self, address: str) -> Known:
        """Return what is known of an address: the narrowest network that has it."""
        return self._find(address)

    def assigned(self) -> dict[str, dict[str, object]]:
        """Return what was assigned, as JSON."""
        found: dict[str, dict[str, object]] = Table.dump_python(self._assigned, mode="json")
        return found

    def assign(self, table: bytes) -> None:
        """Replace everything assigned by a JSON object; raises `pydantic.ValidationError`."""
        self._assigned = Table.validate_json(table)
        self._store.save(*_PLACE, Table.dump_python(self._assigned, mode="json"))
        self._find.cache_clear()

    def _search(self, text: str) -> Known:
        address: IPv4Address | IPv6Address = ip_address(text)
        tables = (self._assigned, MADE_UP)  # what was assigned wins, however wide
        for table in tables:
            fitting = [network for network in table if address in network]
            if fitting:
                return table[max(fitting, key=lambda network: network.prefixlen)]
        return _NOBODY


_AUTOMATION: Final = re.compile(
    r"^$|^(curl|wget|python|aiohttp|go-http-client|java|okhttp|axios|node-fetch|undici|node$|ruby"
    r"|libwww-perl|perl|php|httpie|scrapy|powershell|postmanruntime|apache-httpclient|k6|vegeta"
    r"|wrk|ab)\b|headlesschrome|phantomjs|selenium|puppeteer|playwright",
    re.IGNORECASE,
)
_CLAIMS: Final = re.compile(
    r"googlebot|bingbot|applebot|duckduckbot|yandexbot|slurp", re.IGNORECASE
)
_ABUSE: Final = re.compile(r"^(libwww-perl|python-urllib|java/1\.)", re.IGNORECASE)
_NAMELESS: Final = re.compile(r"\W*|mozilla/?", re.IGNORECASE)


@lru_cache(_REMEMBERED)
def automated(user_agent: str) -> bool:
    """True for what says itself that it is a program, says nothing, or claims to be a crawler.

    The twin's stand-in for bot scores below 2 ("definitely automated"): the real edge goes by how a
    client behaves as well. A true crawler is told by its address (`Known.bot`), not by its name.
    """
    return _AUTOMATION.search(user_agent) is not None or _CLAIMS.search(user_agent) is not None


def is_abuse_tool(user_agent: str) -> bool:
    """True for the names of libraries that spam tools send (Browser Integrity Check)."""
    return _ABUSE.search(user_agent) is not None


def has_no_browser_name(user_agent: str) -> bool:
    """True for no user agent, or one without a word in it."""
    return _NAMELESS.fullmatch(user_agent) is not None
