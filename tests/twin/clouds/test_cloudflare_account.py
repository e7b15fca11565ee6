"""What the Cloudflare double refuses because of what the account holds; tokens and recovery."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.twin.clouds.accounts import ACCOUNT, ACCOUNT_ID, CF_CONFIG, ZONE_ID, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_cloudflare_rules import ADDRESS, CATCH_ALL, HOST_RULE, SITE, TUNNEL
from twin.clouds import cloudflare
from twin.clouds.births import birth
from twin.paper import PaperWorld
from twin.protocol.resource import ApiError, Context, Function
from twin.store import Store


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(cloudflare.package(), known(paper_context, CF_CONFIG))


def _token_function() -> Function:
    token = cloudflare.GetTunnelToken.token
    return next(it for it in cloudflare.package().functions if it.token == token)


def test_a_wrong_or_missing_token_is_refused(paper_context: Context) -> None:
    package = cloudflare.package()
    package.configure(known(paper_context, CF_CONFIG))
    for config in ({}, {"apiToken": "wrong"}):
        with pytest.raises(ApiError, match=r"401 .*Authentication error"):
            package.configure(known(paper_context, config))
    assert not list(package.check_config(ACCOUNT, CF_CONFIG))
    for config in ({"apiKey": "k"}, {"apiKey": "k", "apiToken": "t"}):
        assert list(package.check_config(ACCOUNT, config))


def test_records_are_normalised_and_have_what_programs_build_on(handlers: Handlers) -> None:
    made = handlers.create("DnsRecord", ADDRESS)
    assert len(made.id) == 32
    assert int(made.id, 16) >= 0
    assert made.outputs["name"] == "a.payments.localhost"
    assert made.outputs["proxied"] is False
    assert made.outputs["proxiable"] is True
    record = handlers.resource("DnsRecord")
    for written in ("a.payments.localhost", "A.payments.localhost."):
        change = record.diff(handlers.ctx, ADDRESS, {**ADDRESS, "name": written}, {"name"})
        assert change.ignore == {"name"}, "the same name written otherwise is no change"
    change = record.diff(handlers.ctx, ADDRESS, {**ADDRESS, "name": "b"}, {"name"})
    assert change.ignore == frozenset()


def test_a_zone_never_holds_a_record_twice_nor_anything_beside_a_cname(handlers: Handlers) -> None:
    handlers.create("DnsRecord", ADDRESS)
    with pytest.raises(ApiError, match=r"identical record already exists .81058"):
        handlers.create("DnsRecord", {**ADDRESS, "name": "a.payments.localhost"})
    handlers.create("DnsRecord", {**ADDRESS, "content": "192.0.2.2"})
    with pytest.raises(ApiError, match=r"with that host already exists .81053"):
        handlers.create("DnsRecord", {**SITE, "name": "a"})
    site = handlers.create("DnsRecord", SITE)
    with pytest.raises(ApiError, match=r"A CNAME record with that host already exists .81054"):
        handlers.create("DnsRecord", {**ADDRESS, "name": "pay"})
    handlers.create("DnsRecord", {**ADDRESS, "name": "pay", "type": "TXT", "content": "x"})
    handlers.delete("DnsRecord", site.id)
    handlers.create("DnsRecord", {**ADDRESS, "name": "pay"})
    with pytest.raises(ApiError, match=r"404 zoneId"):
        handlers.create("DnsRecord", {**ADDRESS, "zoneId": "d" * 32})


def test_data_becomes_the_content_that_the_api_makes_of_it(handlers: Handlers) -> None:
    made = handlers.create(
        "DnsRecord",
        {
            "zoneId": ZONE_ID,
            "name": "@",
            "type": "CAA",
            "ttl": 1,
            "data": {"flags": 0.0, "tag": "issue", "value": "letsencrypt.org"},
        },
    )
    assert made.outputs["content"] == '0 issue "letsencrypt.org"'


def test_a_tunnels_token_is_what_its_connector_expects(handlers: Handlers) -> None:
    made = handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    answer = _token_function().call(handlers.ctx, {"accountId": ACCOUNT_ID, "tunnelId": made.id})
    token = json.loads(base64.b64decode(answer["token"]))
    assert set(token) == {"a", "t", "s"}
    assert (token["a"], token["t"]) == (ACCOUNT_ID, made.id)
    assert len(base64.b64decode(token["s"])) == 32
    again = _token_function().call(handlers.ctx, {"accountId": ACCOUNT_ID, "tunnelId": made.id})
    assert again == answer, "the token must not change from one preview to the next"
    assert "tunnelSecret" not in made.outputs, "the API never answers a secret that it made"
    given = base64.b64encode(b"g" * 32).decode()
    own = handlers.create(
        "ZeroTrustTunnelCloudflared", {**TUNNEL, "name": "own", "tunnelSecret": given}
    )
    answer = _token_function().call(handlers.ctx, {"accountId": ACCOUNT_ID, "tunnelId": own.id})
    assert json.loads(base64.b64decode(answer["token"]))["s"] == given
    for args in (
        {"accountId": ACCOUNT_ID, "tunnelId": "nowhere"},
        {"accountId": "e" * 32, "tunnelId": made.id},
    ):
        with pytest.raises(ApiError):
            _token_function().call(handlers.ctx, args)


def test_names_of_tunnels_are_unique_and_the_account_must_be_the_tokens(handlers: Handlers) -> None:
    made = handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    with pytest.raises(ApiError, match=r"409 .*already have a tunnel with this name"):
        handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    handlers.delete("ZeroTrustTunnelCloudflared", made.id)
    handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    with pytest.raises(ApiError, match=r"403 accountId"):
        handlers.create("ZeroTrustTunnelCloudflared", {**TUNNEL, "accountId": "e" * 32})


def test_a_configuration_needs_a_remotely_managed_tunnel_and_counts_versions(
    handlers: Handlers,
) -> None:
    local = handlers.create("ZeroTrustTunnelCloudflared", {"accountId": ACCOUNT_ID, "name": "l"})
    assert local.outputs["configSrc"] == "local", "the provider's default"
    inputs = {
        "accountId": ACCOUNT_ID,
        "tunnelId": local.id,
        "config": {"ingresses": [HOST_RULE, CATCH_ALL]},
    }
    with pytest.raises(ApiError, match=r'400 .*configSrc "local"'):
        handlers.create("ZeroTrustTunnelCloudflaredConfig", inputs)
    tunnel = handlers.create("ZeroTrustTunnelCloudflared", TUNNEL)
    inputs["tunnelId"] = tunnel.id
    made = handlers.create("ZeroTrustTunnelCloudflaredConfig", inputs)
    assert (made.id, made.outputs["version"]) == (tunnel.id, 1)
    changed = handlers.update(
        "ZeroTrustTunnelCloudflaredConfig",
        made.id,
        {**inputs, "config": {"ingresses": [CATCH_ALL]}},
    )
    assert changed["version"] == 2
    handlers.delete("ZeroTrustTunnelCloudflared", tunnel.id)
    resource = handlers.resource("ZeroTrustTunnelCloudflaredConfig")
    assert resource.read(handlers.ctx, made.id, changed) is None


def test_an_id_is_on_disk_before_it_is_used_and_is_taken_up_by_the_next_try(tmp_path: Path) -> None:
    store = Store(tmp_path / "twin.db")
    ctx = Context(config={}, store=store, world=PaperWorld(store), account=ACCOUNT)
    made: list[str] = []

    def make() -> str:
        made.append(f"id-{len(made)}")
        return made[-1]

    def killed() -> str:
        with birth(ctx, "t", "key", make) as id:
            assert store.items("births t") == {"key": id}
            raise OSError("killed")

    with pytest.raises(OSError, match=r"killed"):
        killed()
    [first] = made
    with birth(ctx, "t", "key", make) as second:
        assert second == first
        with birth(ctx, "t", "key", make) as third:
            assert third != first, "two creates at once are two resources"
    store.close()
    later = replace(ctx, store=Store(tmp_path / "twin.db"))
    with birth(later, "t", "key", make) as fourth:
        assert fourth == third, "after a restart the unfinished one goes on"
    later.store.put("t", fourth, {}, {})
    with birth(later, "t", "key", make) as fifth:
        assert fifth != fourth, "what is recorded is finished"
    later.store.close()
