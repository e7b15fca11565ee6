"""The real engine on the Cloudflare double, on paper."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from tests.twin.clouds.accounts import ACCOUNT, ACCOUNT_ID, CF_TOKEN, ZONE_ID
from tests.twin.conftest import Engine, StartEngine
from twin.clouds import cloudflare
from twin.protocol.resource import Context

PROGRAM = f"""
    import pulumi, pulumi_cloudflare as cf
    opts = pulumi.ResourceOptions(provider=cf.Provider("cf", api_token="{CF_TOKEN}"))
    tunnel = cf.ZeroTrustTunnelCloudflared("tunnel", account_id="{ACCOUNT_ID}", name="site",
        config_src="@SOURCE@", opts=opts)
    cf.ZeroTrustTunnelCloudflaredConfig("rules", account_id="{ACCOUNT_ID}", tunnel_id=tunnel.id,
        config=dict(ingresses=[
            dict(hostname="pay.payments.localhost", service="http://gateway:8080",
                 origin_request=dict(connect_timeout=5)),
            dict(service="http_status:404")]), opts=opts)
    cf.DnsRecord("site", zone_id="{ZONE_ID}", name="@NAME@", type="CNAME", proxied=True, ttl=1,
        content=pulumi.Output.concat(tunnel.id, ".cfargotunnel.com"), opts=opts)
    cf.DnsRecord("text", zone_id="{ZONE_ID}", name="note", type="@TYPE@", ttl=300,
        content="192.0.2.1", opts=opts)
    token = cf.get_zero_trust_tunnel_cloudflared_token_output(account_id="{ACCOUNT_ID}",
        tunnel_id=tunnel.id, opts=pulumi.InvokeOutputOptions(provider=opts.provider))
    pulumi.export("token", pulumi.Output.secret(token.token))
"""
BASE = {"SOURCE": "cloudflare", "NAME": "pay.payments.localhost", "TYPE": "TXT"}


def program(**changes: str) -> str:
    text = PROGRAM
    for name, value in {**BASE, **changes}.items():
        text = text.replace(f"@{name}@", value)
    return text


@pytest.fixture
def engine(start_engine: StartEngine, paper_context: Context) -> Engine:
    return start_engine(cloudflare.package(), context=replace(paper_context, account=ACCOUNT))


def test_nothing_changes_by_itself_and_only_what_is_documented_replaces(
    engine: Engine, paper_context: Context
) -> None:
    engine.program(program())
    first = engine.up()
    assert first.code == 0, first.output
    engine.program(program(NAME="pay"))
    second = engine.up()
    assert second.steps == {}, "the same name in its short form is no change"
    assert engine.refresh("--expect-no-changes").code == 0
    shown = engine.revealed()["tiny-test"]["outputs"]["token"]["plaintext"]
    token = json.loads(base64.b64decode(json.loads(shown)))
    assert token["t"] == engine.resources()["tunnel"]["id"]
    assert token["s"] not in engine.state(), "a tunnel's secret must not be readable in the state"

    engine.program(program(SOURCE="local", NAME="www", TYPE="A"))
    planned = engine.preview()
    # Cloudflare's provider makes the new one first: the old one's deletion is the last step.
    replaced = dict.fromkeys(("tunnel", "rules", "text"), "delete-replaced")
    assert planned.steps == {**replaced, "site": "update"}, planned.output
    assert engine.destroy().code == 0
    assert paper_context.store.all() == []
