"""The functions of the rule language: their parameters, where they may be used, what they do.

Source: the function reference of cloudflare-docs (ruleset-engine/rules-language/functions.mdx). A
missing argument makes a missing result, unless a function says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from twin.rules import texts
from twin.rules.fields import TRANSFORMS
from twin.rules.types import (
    ADDRESS,
    BOOLEAN,
    BOOLEANS,
    INTEGER,
    INTEGER_LISTS,
    STRING,
    STRING_LISTS,
    STRINGS,
    Type,
)

_SECURITY: Final = frozenset({"http_request_firewall_custom", "http_ratelimit"})
_REDIRECT: Final = frozenset({"http_request_dynamic_redirect"})
_URL_REWRITE: Final = frozenset({"http_request_transform"})
_RESPONSE: Final = frozenset({"http_response_headers_transform", "http_custom_errors"})

Body = Callable[..., Any]


@dataclass(frozen=True)
class Parameter:
    """One parameter. `form` is `any`, `field` (no constant) or `literal` (a constant only)."""

    types: tuple[Type, ...]
    form: str = "any"
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function; with `variadic` the last parameter may repeat.

    `result` None means: as the first argument. `rewrite`: only where a value is computed (a target
    URL, a header), not in a rule's condition. `once`: once in an expression.
    """

    name: str
    parameters: tuple[Parameter, ...]
    result: Type | None
    body: Body
    variadic: bool = False
    phases: frozenset[str] | None = None
    plan: str = "free"
    rewrite: bool = False
    once: bool = False
    takes_missing: bool = False


def _of(*types: Type, form: str = "any", optional: bool = False) -> Parameter:
    return Parameter(types, form, optional)


_TEXT = _of(STRING)
_TEXT_FIELD = _of(STRING, form="field")
_TEXT_LITERAL = _of(STRING, form="literal")
_NUMBER_LITERAL = _of(INTEGER, form="literal")
_FLAGS = _of(STRING, form="literal", optional=True)
_JSON_KEYS = (_TEXT, _of(STRING, INTEGER))

FUNCTIONS: Final[Mapping[str, Function]] = {
    made.name: made
    for made in (
        Function(name="any", parameters=(_of(BOOLEANS),), result=BOOLEAN, body=any),
        Function(name="all", parameters=(_of(BOOLEANS),), result=BOOLEAN, body=all),
        Function(
            name="cidr",
            parameters=(_of(ADDRESS, form="field"), _NUMBER_LITERAL, _NUMBER_LITERAL),
            result=ADDRESS,
            body=texts.cidr,
            phases=_SECURITY,
        ),
        Function(
            name="cidr6",
            parameters=(_of(ADDRESS, form="field"), _NUMBER_LITERAL),
            result=ADDRESS,
            body=lambda address, bits: texts.cidr(address, 32, bits),
            phases=_SECURITY,
        ),
        Function(
            name="concat",
            parameters=(_of(STRING, STRINGS),),
            result=None,
            body=texts.concat,
            variadic=True,
            takes_missing=True,
        ),
        Function(
            name="decode_base64",
            parameters=(_TEXT_FIELD,),
            result=STRING,
            body=texts.decode_base64,
            phases=TRANSFORMS | _SECURITY,
        ),
        Function(
            name="encode_base64",
            parameters=(_TEXT, _FLAGS),
            result=STRING,
            body=texts.encode_base64,
            phases=TRANSFORMS,
            rewrite=True,
        ),
        Function(
            name="ends_with", parameters=(_TEXT_FIELD, _TEXT), result=BOOLEAN, body=str.endswith
        ),
        Function(
            name="has_key",
            parameters=(_of(STRING_LISTS, INTEGER_LISTS), _TEXT_LITERAL),
            result=BOOLEAN,
            body=lambda values, key: key in values,
        ),
        Function(
            name="has_value",
            parameters=(_of(STRINGS), _TEXT_LITERAL),
            result=BOOLEAN,
            body=lambda values, value: value in values,
        ),
        Function(
            name="join",
            parameters=(_of(STRINGS), _TEXT),
            result=STRING,
            body=lambda items, separator: separator.join(items),
            phases=TRANSFORMS | {"http_request_firewall_custom", "http_custom_errors"},
        ),
        Function(name="len", parameters=(_of(STRING, STRINGS),), result=INTEGER, body=texts.length),
        Function(
            name="lookup_json_integer",
            parameters=_JSON_KEYS,
            result=INTEGER,
            body=texts.lookup_json_integer,
            variadic=True,
        ),
        Function(
            name="lookup_json_string",
            parameters=_JSON_KEYS,
            result=STRING,
            body=texts.lookup_json_string,
            variadic=True,
        ),
        Function(name="lower", parameters=(_TEXT,), result=STRING, body=texts.lower),
        Function(
            name="regex_replace",
            parameters=(_TEXT, _TEXT_LITERAL, _TEXT_LITERAL),
            result=STRING,
            body=texts.regex_replace,
            phases=TRANSFORMS | _REDIRECT,
            plan="business",
            rewrite=True,
            once=True,
        ),
        Function(
            name="remove_bytes",
            parameters=(_TEXT, _TEXT_LITERAL),
            result=STRING,
            body=texts.remove_bytes,
        ),
        Function(
            name="remove_query_args",
            parameters=(_TEXT_FIELD, _TEXT_LITERAL),
            result=STRING,
            body=texts.remove_query_args,
            variadic=True,
            phases=TRANSFORMS,
            rewrite=True,
        ),
        Function(
            name="split",
            parameters=(_TEXT, _TEXT_LITERAL, _NUMBER_LITERAL),
            result=STRINGS,
            body=lambda text, separator, limit: text.split(separator, limit - 1),
            phases=_RESPONSE,
        ),
        Function(
            name="starts_with", parameters=(_TEXT_FIELD, _TEXT), result=BOOLEAN, body=str.startswith
        ),
        Function(
            name="substring",
            parameters=(_TEXT, _of(INTEGER), _of(INTEGER, optional=True)),
            result=STRING,
            body=texts.substring,
        ),
        Function(
            name="to_string",
            parameters=(_of(INTEGER, BOOLEAN, ADDRESS),),
            result=STRING,
            body=texts.to_string,
            phases=TRANSFORMS | _REDIRECT,
            rewrite=True,
        ),
        Function(name="upper", parameters=(_TEXT,), result=STRING, body=texts.upper),
        Function(
            name="url_decode",
            parameters=(_TEXT_FIELD, _FLAGS),
            result=STRING,
            body=texts.url_decode,
        ),
        Function(
            name="uuidv4",
            parameters=(_TEXT,),
            result=STRING,
            body=texts.uuidv4,
            phases=TRANSFORMS,
            rewrite=True,
        ),
        Function(
            name="wildcard_replace",
            parameters=(_TEXT_FIELD, _TEXT_LITERAL, _TEXT_LITERAL, _FLAGS),
            result=STRING,
            body=texts.wildcard_replace,
            phases=_URL_REWRITE | _REDIRECT,
            rewrite=True,
            once=True,
        ),
        Function(
            name="is_timed_hmac_valid_v0",
            parameters=(
                _TEXT_LITERAL,
                _TEXT,
                _NUMBER_LITERAL,
                _of(INTEGER),
                _of(INTEGER, form="literal", optional=True),
                _FLAGS,
            ),
            result=BOOLEAN,
            body=texts.is_timed_hmac_valid,
            plan="pro",
        ),
    )
}
