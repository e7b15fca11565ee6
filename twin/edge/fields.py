"""A request, and the reply to it, as the rule language sees them.

Names, types and meanings are Cloudflare's (developers.cloudflare.com/ruleset-engine/rules-language/
fields/reference). A field is worked out when a rule first asks for it and kept for the request. A
field that the twin has nothing to say about holds its type's empty value, as the real one does on a
request to which it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import parse_qsl

from twin.clock import Clock
from twin.edge.exchange import Exchange, Reply
from twin.edge.leaks import Leaks
from twin.edge.visitors import CONTINENTS, EUROPEAN_UNION, Known, Visitors, automated
from twin.kept import in_force
from twin.rules import AddressSet
from twin.rules.fields import FIELDS
from twin.rules.types import EMPTY, Address, Container, Value, decode
from twin.store import Store

LIST: Final = "cloudflare:index/list:List"
LEAKED_CREDENTIAL_CHECK: Final = "cloudflare:index/leakedCredentialCheck:LeakedCredentialCheck"
HTTPS_PORT: Final = 443
BODY_FIELDS: Final = ("http.request.body.", "cf.waf.credential_check.", "cf.waf.auth_detected")
"""Beginnings of the names of fields that need `twin.edge.body.look` before a rule is evaluated."""
HUMAN_SCORE: Final = 99
BOT_SCORE: Final = 1


class Fields(dict[str, Value]):
    """One request's fields. A reply's are added by `answered`."""

    def __init__(self, exchange: Exchange, source: FieldSource) -> None:
        super().__init__()
        self.exchange = exchange
        self.source = source

    def __missing__(self, name: str) -> Value:
        compute = _COMPUTE.get(name)
        if compute is not None:
            value = compute(self)
        elif name.startswith("$"):
            value = self.source.members(name[1:])
        else:
            value = _nothing(name)
        self[name] = value
        return value

    @property
    def known(self) -> Known:
        """What is known of the visitor's address."""
        return self.source.visitors.known(self.exchange.visitor)

    @property
    def leaks(self) -> Leaks:
        """What the leaked-credentials detection found."""
        return Leaks.of(self.exchange, enabled=self.source.detects_leaks(self.exchange.zone.id))

    def answered(self, reply: Reply) -> Fields:
        """Add the reply's fields."""
        headers: dict[str, Value] = {}
        for name in reply.headers:
            headers.setdefault(name.lower(), list(reply.headers.getall(name)))
        media, _, _ = reply.headers.get("Content-Type", "").partition(";")
        self["http.response.code"] = reply.status
        self["http.response.content_type.media_type"] = media.strip().lower()
        for prefix in ("", "raw."):
            self[f"{prefix}http.response.headers"] = headers
            self[f"{prefix}http.response.headers.names"] = _lower_names(reply.headers)
            self[f"{prefix}http.response.headers.values"] = list(reply.headers.values())
        return self


class Numbers(Container):
    """The numbers of a list of autonomous systems."""

    def __init__(self, entries: Iterable[int]) -> None:
        self._entries = frozenset(entries)

    def __contains__(self, value: object) -> bool:
        return value in self._entries


class Hosts(Container):
    """The names of a list of hosts; `*.example.com` has what is below it."""

    def __init__(self, entries: Iterable[str]) -> None:
        names = {entry.lower() for entry in entries}
        self._exact = {name for name in names if not name.startswith("*.")}
        self._below = tuple(name[1:] for name in names if name.startswith("*."))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and (value in self._exact or value.endswith(self._below))


class FieldSource:
    """Makes the fields of requests: knows lists, addresses, the clock."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.clock = clock
        self.visitors = Visitors(store)
        self._store = store
        self._generation = -1
        self._lists: dict[str, Container] = {}
        self._leaks: set[str] = set()

    def of(self, exchange: Exchange) -> Fields:
        """Return the request's fields, the same ones every time."""
        if exchange.fields is None:
            exchange.fields = Fields(exchange, self)
        fields: Fields = exchange.fields
        return fields

    def members(self, name: str) -> Container:
        """Return what a list holds; an unknown one is empty."""
        self._refresh()
        return self._lists.get(name) or _EMPTY_LIST

    def detects_leaks(self, zone: str) -> bool:
        """True where leaked-credentials detection was switched on."""
        self._refresh()
        return zone in self._leaks

    def _refresh(self) -> None:
        generation = self._store.generation
        if generation == self._generation:
            return
        self._lists = {
            str(record.outputs.get("name")): _members(record.outputs)
            for record in self._store.all(LIST)
        }
        self._leaks = {
            str(outputs.get("zoneId"))
            for outputs in in_force(self._store, LEAKED_CREDENTIAL_CHECK)
            if outputs.get("enabled")
        }
        self._generation = generation


def _members(outputs: Mapping[str, Any]) -> Container:
    items = outputs.get("items") or []
    if outputs.get("kind") == "asn":
        return Numbers(int(item["asn"]) for item in items)
    if outputs.get("kind") == "hostname":
        return Hosts(str(item["hostname"]["urlHostname"]) for item in items)
    return AddressSet.of(str(ip_network(item["ip"], strict=False)) for item in items)


_EMPTY_LIST: Final = AddressSet(())


def _nothing(name: str) -> Value:
    field = FIELDS[name]
    if field.type.kind == "Map":
        return {}
    if field.type.kind == "Array":
        return []
    return EMPTY.get(field.type.kind)


# --- how each field is worked out -----------------------------------------------------------------
def _headers(fields: Fields) -> Value:
    headers = fields.exchange.request.headers
    found: dict[str, Value] = {}
    for name in headers:
        found.setdefault(name.lower(), list(headers.getall(name)))
    return found


def _lower_names(headers: Mapping[str, str]) -> list[Value]:
    # Not by iterating over the names themselves: that gives each but once.
    return [name.lower() for name, _ in headers.items()]


def _header(name: str, joined: str = "") -> Callable[[Fields], Value]:
    def one(fields: Fields) -> Value:
        headers = fields.exchange.request.headers
        return joined.join(headers.getall(name, ())) if joined else headers.get(name, "")

    return one


def _uri(fields: Fields) -> Value:
    query = fields["http.request.uri.query"]
    path = fields["http.request.uri.path"]
    return f"{path}?{query}" if query else path


def _path(fields: Fields) -> Value:
    return fields.exchange.normalised_path or fields.exchange.path


def _extension(path: Value) -> str:
    name = str(path).rpartition("/")[2]
    return name.rpartition(".")[2].lower() if "." in name else ""


def _arguments(query: Value) -> dict[str, Value]:
    """Return the query's arguments, as they were sent: nothing is decoded."""
    found: dict[str, Value] = {}
    for part in filter(None, str(query).split("&")):
        name, _, value = part.partition("=")
        values = found.setdefault(name, [])
        assert isinstance(values, list)  # noqa: S101  (narrowing)
        values.append(value)
    return found


def _cookies(fields: Fields) -> Value:
    found: dict[str, Value] = {}
    for part in str(fields["http.cookie"]).split(";"):
        name, given, value = part.strip().partition("=")
        if given:
            values = found.setdefault(name, [])
            assert isinstance(values, list)  # noqa: S101  (narrowing)
            values.append(value)
    return found


def _full_uri(uri: str) -> Callable[[Fields], Value]:
    def whole(fields: Fields) -> Value:
        return f"{fields.exchange.scheme}://{fields.exchange.host}{fields[uri]}"

    return whole


def _address(fields: Fields) -> Address:
    return ip_address(fields.exchange.visitor)


def _version(fields: Fields) -> Value:
    version = fields.exchange.request.version
    return f"HTTP/{version.major}.{version.minor}"


def _tls(part: Callable[[Any], str]) -> Callable[[Fields], Value]:
    def of_connection(fields: Fields) -> Value:
        transport = fields.exchange.request.transport
        connection = transport.get_extra_info("ssl_object") if transport is not None else None
        return "" if connection is None else part(connection)

    return of_connection


def _is_automated(fields: Fields) -> bool:
    return automated(str(fields["http.user_agent"]))


def _body(fields: Fields) -> bytes:
    return fields.exchange.seen_body or b""


def _size(fields: Fields) -> Value:
    # Of a longer body than is inspected, the size is what was announced, where it was.
    announced = fields.exchange.request.content_length
    return announced if fields.exchange.body_cut and announced else len(_body(fields))


def _media(fields: Fields) -> str:
    return fields.exchange.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _form(fields: Fields) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if _media(fields) == "application/x-www-form-urlencoded":
        text = decode(_body(fields))
        for name, value in parse_qsl(text, keep_blank_values=True, errors="surrogateescape"):
            values = found.setdefault(name, [])
            assert isinstance(values, list)  # noqa: S101  (narrowing)
            values.append(value)
    return found


def _flat(values: Value) -> list[Value]:
    assert isinstance(values, Mapping)  # noqa: S101  (narrowing)
    return [each for several in values.values() if isinstance(several, list) for each in several]


def _names(field: str) -> Callable[[Fields], Value]:
    def names(fields: Fields) -> Value:
        found = fields[field]
        return list(found) if isinstance(found, Mapping) else []

    return names


def _values(field: str) -> Callable[[Fields], Value]:
    return lambda fields: _flat(fields[field])


_COMPUTE: Final[dict[str, Callable[[Fields], Value]]] = {
    "http.host": lambda f: f.exchange.host,
    "http.request.method": lambda f: f.exchange.request.method,
    "http.request.version": _version,
    "http.cookie": _header("Cookie", "; "),
    "http.referer": _header("Referer"),
    "http.user_agent": _header("User-Agent"),
    "http.x_forwarded_for": _header("X-Forwarded-For", ", "),
    "http.request.headers": _headers,
    "http.request.headers.names": lambda f: _lower_names(f.exchange.request.headers),
    "http.request.headers.values": lambda f: list(f.exchange.request.headers.values()),
    "http.request.cookies": _cookies,
    "http.request.uri": _uri,
    "http.request.uri.path": _path,
    "http.request.uri.path.extension": lambda f: _extension(f["http.request.uri.path"]),
    "http.request.uri.query": lambda f: f.exchange.target.partition("?")[2],
    "http.request.full_uri": _full_uri("http.request.uri"),
    "raw.http.request.uri": lambda f: f.exchange.target,
    "raw.http.request.uri.path": lambda f: f.exchange.path,
    "raw.http.request.uri.path.extension": lambda f: _extension(f.exchange.path),
    "raw.http.request.uri.query": lambda f: f.exchange.target.partition("?")[2],
    "raw.http.request.full_uri": _full_uri("raw.http.request.uri"),
    "http.request.timestamp.sec": lambda f: int(f.source.clock.now()),
    "http.request.timestamp.msec": lambda f: int(f.source.clock.now() * 1000) % 1000,
    "ssl": lambda f: f.exchange.scheme == "https",
    "ip.src": _address,
    "ip.src.country": lambda f: f.known.country,
    "ip.src.asnum": lambda f: f.known.asn,
    "ip.src.continent": lambda f: CONTINENTS.get(f.known.country, ""),
    "ip.src.is_in_european_union": lambda f: f.known.country in EUROPEAN_UNION,
    "cf.client.bot": lambda f: f.known.bot,
    "cf.bot_management.verified_bot": lambda f: f.known.bot,
    "cf.bot_management.score": lambda f: BOT_SCORE if _is_automated(f) else HUMAN_SCORE,
    "cf.edge.server_port": lambda f: HTTPS_PORT,
    "cf.edge.client_tcp": lambda f: True,
    "cf.edge.server_ip": lambda f: ip_address("127.0.0.1"),
    "cf.ray_id": lambda f: f.exchange.ray.partition("-")[0],
    "cf.waf.score": lambda f: 100,  # of a request that was not scored
    "cf.tls_version": _tls(lambda connection: str(connection.version() or "")),
    "cf.tls_cipher": _tls(lambda connection: str((connection.cipher() or ("",))[0])),
    "cf.waf.auth_detected": lambda f: f.leaks.detected,
    "cf.waf.credential_check.password_leaked": lambda f: f.leaks.password,
    "cf.waf.credential_check.username_leaked": lambda f: f.leaks.username,
    "cf.waf.credential_check.username_and_password_leaked": lambda f: f.leaks.both,
    "http.request.body.raw": lambda f: decode(_body(f)),
    "http.request.body.truncated": lambda f: f.exchange.body_cut,
    "http.request.body.size": _size,
    "http.request.body.mime": _media,
    "http.request.body.form": _form,
    "http.request.body.form.names": _names("http.request.body.form"),
    "http.request.body.form.values": _values("http.request.body.form"),
}
for _prefix in ("", "raw."):
    _query = f"{_prefix}http.request.uri.query"
    _args = f"{_prefix}http.request.uri.args"
    _COMPUTE[_args] = lambda f, q=_query: _arguments(f[q])  # type: ignore[misc]
    _COMPUTE[f"{_args}.names"] = _names(_args)
    _COMPUTE[f"{_args}.values"] = _values(_args)
for _new in ("country", "asnum", "continent", "is_in_european_union"):
    _COMPUTE[f"ip.geoip.{_new}"] = _COMPUTE[f"ip.src.{_new}"]
