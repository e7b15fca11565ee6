"""Sets of addresses and numbers that are asked often and made once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_network

from twin.rules.nodes import Span
from twin.rules.types import Container


class NumberSet(Container):
    """Ranges of whole numbers, their ends among them."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(ranges):
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(last, self._lasts[-1])
            else:
                self._firsts.append(first)
                self._lasts.append(last)

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int):
            return False
        at = bisect_right(self._firsts, value) - 1
        return at >= 0 and value <= self._lasts[at]


class AddressSet(Container):
    """Addresses, networks and ranges; what a `List` of the kind `ip` holds.

    Made of spans, or of texts: `AddressSet.of(["192.0.2.0/24", "2001:db8::1"])`. A request's
    fields hand it to a rule under the list's name with its dollar: `fields["$office"]`.
    """

    def __init__(self, spans: Iterable[Span]) -> None:
        ranges: dict[type, list[tuple[int, int]]] = {IPv4Address: [], IPv6Address: []}
        for span in spans:
            ranges[type(span.first)].append((int(span.first), int(span.last)))
        self._four = NumberSet(ranges[IPv4Address])
        self._six = NumberSet(ranges[IPv6Address])

    @classmethod
    def of(cls, networks: Iterable[str]) -> AddressSet:
        """From addresses and networks as text; ValueError for what is neither."""
        parsed = [ip_network(text) for text in networks]
        return cls(Span(n.network_address, n.broadcast_address) for n in parsed)

    def __contains__(self, value: object) -> bool:
        if isinstance(value, IPv4Address):
            return int(value) in self._four
        return isinstance(value, IPv6Address) and int(value) in self._six
