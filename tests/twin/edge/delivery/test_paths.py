"""One way to write each path, for rules and, where deployed, for the origin."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twin.edge.delivery.origin import served
from tests.twin.edge.firewall.zone import put, rule
from tests.twin.edge.harness import SITE, ZONE, Site, run
from twin.edge.delivery.deployed import NORMALISATION
from twin.edge.delivery.paths import normalise
from twin.edge.firewall.deployed import CUSTOM


@pytest.mark.parametrize(
    ("path", "rfc3986", "cloudflare"),
    [
        # cloudflare-docs, rules/normalization/examples
        ("/%68ello", "/hello", "/hello"),
        ("/%68ello//pa\\th", "/hello//pa%5Cth", "/hello/pa/th"),
        ("/", "/", "/"),
        ("/a/./b/../c", "/a/c", "/a/c"),
        ("/a/%2e%2e/b", "/b", "/b"),
        ("/..", "/", "/"),
        ("/a/..", "/", "/"),
        ("/a/b/.", "/a/b/", "/a/b/"),
        ("/../../etc", "/etc", "/etc"),
        ("//api/admin", "//api/admin", "/api/admin"),
        ("/\\api\\admin", "/%5Capi%5Cadmin", "/api/admin"),
        ("/..\\..\\admin", "/..%5C..%5Cadmin", "/admin"),
        # Encoded slashes are not slashes, to either.
        ("/%2fapi", "/%2Fapi", "/%2Fapi"),
        ("/%5capi", "/%5Capi", "/%5Capi"),
        ("/API/Admin", "/API/Admin", "/API/Admin"),
        ("/caf%c3%a9", "/caf%C3%A9", "/caf%C3%A9"),
        ("/café", "/caf%C3%A9", "/caf%C3%A9"),
        ("/a b<>", "/a%20b%3C%3E", "/a%20b%3C%3E"),
        ("/%zz;p=1", "/%25zz;p=1", "/%25zz;p=1"),
        ("/%7Euser/%2D%5F", "/~user/-_", "/~user/-_"),
        ("/.well-known/x", "/.well-known/x", "/.well-known/x"),
    ],
)
def test_paths_are_written_as_documented(path: str, rfc3986: str, cloudflare: str) -> None:
    assert normalise(path, "rfc3986") == rfc3986
    assert normalise(path, "cloudflare") == cloudflare


@given(st.text(alphabet="/\\.%2eEfFaA5cC ~é?#", max_size=30), st.sampled_from(["cloudflare"]))
def test_the_normal_form_is_final_and_has_no_way_around(rest: str, kind: str) -> None:
    found = normalise("/" + rest, kind)
    assert normalise(found, kind) == found
    assert found.startswith("/")
    assert "\\" not in found
    assert found.isascii()
    segments = found.split("/")
    assert not {".", ".."} & {unquote(segment) for segment in segments if "%2F" not in segment}


@given(st.text(alphabet="/.%2eaz~", max_size=30))
def test_successive_slashes_are_one(rest: str) -> None:
    assert "//" not in normalise("/" + rest, "cloudflare").replace("/./", "/")


def deploy(site: Site, kind: str, scope: str) -> None:
    site.store.put(NORMALISATION, "n", {}, {"zoneId": ZONE["id"], "type": kind, "scope": scope})


async def ask(site: Site, target: str) -> tuple[int, str]:
    """Return the status and the path that the origin got."""
    request = f"GET {target} HTTP/1.1\r\nHost: {SITE}\r\nConnection: close\r\n\r\n"
    answer = await site.raw(request.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    return status, json.loads(body)["path"] if status == 200 else ""


def test_rules_see_the_normal_path_and_the_origin_by_scope(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served(tmp_path, mirrors=True) as (site, _):
            put(site, CUSTOM, rule('http.request.uri.path eq "/api/admin"', "block"))
            tricks = ("//api/admin", "/x/../api/admin", "/api/%61dmin", "/api\\admin")
            for target in tricks:
                assert await ask(site, target) == (403, ""), "the default of a zone"
            kept, normal = "/%61//b?q=//%61", "/a/b?q=//%61"
            assert await ask(site, kept) == (200, kept)
            deploy(site, "cloudflare", "both")
            assert await ask(site, kept) == (200, normal)
            deploy(site, "rfc3986", "both")
            assert await ask(site, kept) == (200, "/a//b?q=//%61")
            deploy(site, "cloudflare", "none")
            for target in tricks:
                assert await ask(site, target) == (200, target), "what switching it off costs"

    run(scenario())
