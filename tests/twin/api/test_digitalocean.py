"""The official client lists exactly what was deployed."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError
from pydo import Client

from tests.twin.clouds.accounts import ACCOUNT, DO_CONFIG, DO_TOKEN, SSH_KEY, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_digitalocean_rules import CLUSTER, DROPLET, RULE
from twin.api import digitalocean as api
from twin.api.limits import RollingLimit
from twin.ca import CertificateAuthority
from twin.clouds import digitalocean
from twin.protocol.resource import Context


@dataclass
class Served:
    url: str
    ca_file: str
    handlers: Handlers

    def client(self, token: str = DO_TOKEN) -> Client:
        # The client refuses to send a bearer token without TLS.
        return Client(token=token, endpoint=self.url, connection_verify=self.ca_file)

    def get(self, path: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {DO_TOKEN}"}
        return requests.get(self.url + path, headers=headers, timeout=10, verify=self.ca_file)


@pytest.fixture
def served(paper_context: Context, tmp_path: Path) -> Iterator[Served]:
    authority = CertificateAuthority(tmp_path)
    for name, text in zip(
        ("cert.pem", "key.pem"), authority.server_certificate(["127.0.0.1"]), strict=True
    ):
        (tmp_path / name).write_text(text)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(api.application(paper_context.store, ACCOUNT))
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    loop.run_until_complete(site.start())
    port = runner.addresses[0][1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    handlers = Handlers(digitalocean.package(), known(paper_context, DO_CONFIG))
    yield Served(f"https://127.0.0.1:{port}", str(authority.certificate_file), handlers)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_pydo_lists_what_was_deployed(served: Served) -> None:
    make = served.handlers.create
    vpc = make("Vpc", {"name": "net", "region": "fra1", "ipRange": "10.20.0.0/20"})
    make("Tag", {"name": "web"})
    key = make("SshKey", {"name": "key", "publicKey": SSH_KEY})
    droplet = make(
        "Droplet",
        {**DROPLET, "vpcUuid": vpc.id, "tags": ["web"], "monitoring": True, "sshKeys": [key.id]},
    )
    wall = make("Firewall", {"name": "wall", "tags": ["web"], "inboundRules": [RULE]})
    cluster = make("DatabaseCluster", {**CLUSTER, "privateNetworkUuid": vpc.id})
    make("DatabaseUser", {"clusterId": cluster.id, "name": "app"})
    project = make("Project", {"name": "payments"})

    client = served.client()
    [found] = client.vpcs.list()["vpcs"]
    assert (found["id"], found["ip_range"]) == (vpc.id, "10.20.0.0/20")
    [found] = client.droplets.list()["droplets"]
    assert found["id"] == int(droplet.id)
    assert (found["status"], found["size_slug"], found["vpc_uuid"]) == (
        "active",
        "s-2vcpu-4gb",
        vpc.id,
    )
    addresses = {net["type"]: net["ip_address"] for net in found["networks"]["v4"]}
    assert addresses == {
        "public": droplet.outputs["ipv4Address"],
        "private": droplet.outputs["ipv4AddressPrivate"],
    }
    assert "monitoring" in found["features"]
    assert client.droplets.get(droplet_id=int(droplet.id))["droplet"] == found
    assert client.droplets.list(tag_name="other")["droplets"] == []
    [found] = client.firewalls.list()["firewalls"]
    assert found["id"] == wall.id
    assert found["inbound_rules"] == [
        {"protocol": "tcp", "ports": "443", "sources": {"addresses": ["192.0.2.0/24"]}}
    ]
    [found] = client.databases.list_clusters()["databases"]
    assert found["connection"]["password"] == cluster.outputs["password"]
    assert [user["name"] for user in found["users"]] == ["doadmin", "app"]
    one = client.databases.get_cluster(database_cluster_uuid=cluster.id)["database"]
    assert one == found
    [found] = client.ssh_keys.list()["ssh_keys"]
    assert found["fingerprint"] == key.outputs["fingerprint"]
    [found] = client.projects.list()["projects"]
    assert found["id"] == project.id

    served.handlers.delete("Droplet", droplet.id)
    assert client.droplets.list()["droplets"] == []


def test_a_wrong_token_and_an_unknown_id_are_refused_as_the_client_expects(served: Served) -> None:
    with pytest.raises(ClientAuthenticationError, match="Unable to authenticate you"):
        served.client("dop_v1_wrong").droplets.list()
    answer = served.client().droplets.get(droplet_id=1)
    assert answer["id"] == "not_found", answer
    assert served.get("/v2/droplets/1").status_code == 404


def test_pages_hold_every_element_once(served: Served) -> None:
    for number in range(7):
        served.handlers.create("Tag", {"name": f"t{number}"})
        served.handlers.create(
            "Firewall", {"name": f"wall-{number}", "tags": [f"t{number}"], "inboundRules": [RULE]}
        )
    seen: list[str] = []
    path: str | None = "/v2/firewalls?per_page=3"
    while path:
        body = served.get(path).json()
        assert body["meta"]["total"] == 7
        seen += [entry["name"] for entry in body["firewalls"]]
        following = body["links"].get("pages", {}).get("next")
        path = following.removeprefix(served.url) if following else None
    assert sorted(seen) == [f"wall-{number}" for number in range(7)]


def test_the_limits_are_told_and_kept(served: Served) -> None:
    answers = [served.get("/v2/account/keys") for _ in range(api.KEYS_LIMIT + 1)]
    assert [answer.status_code for answer in answers] == [200] * api.KEYS_LIMIT + [429]
    assert answers[0].headers["ratelimit-limit"] == "5000"
    assert answers[0].headers["ratelimit-remaining"] == "4999"
    assert int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].json()["id"] == "too_many_requests"


def test_a_rolling_limit_frees_a_place_when_its_oldest_request_leaves_the_window() -> None:
    now = [0.0]
    limit = RollingLimit(2, 10, clock=lambda: now[0])
    assert limit.take()
    now[0] = 4
    assert limit.take()
    assert not limit.take()
    assert (limit.remaining, limit.seconds_left) == (0, 6)
    now[0] = 10
    assert limit.remaining == 1
    assert limit.take()
    assert not limit.take()
