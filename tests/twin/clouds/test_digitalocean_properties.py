"""What the DigitalOcean double accepts, by its documented rules, whatever the values."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.twin.clouds.accounts import DO_CONFIG, known
from tests.twin.clouds.handlers import Handlers
from tests.twin.clouds.test_digitalocean_rules import CLUSTER, DROPLET
from twin.clouds import digitalocean
from twin.clouds.digitalocean.catalog import catalog
from twin.protocol.resource import Context


@pytest.fixture
def handlers(paper_context: Context) -> Handlers:
    return Handlers(digitalocean.package(), known(paper_context, DO_CONFIG))


_given = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@_given
@given(
    address=st.integers(0, 2**32 - 1),
    prefix=st.integers(8, 32),
)
def test_a_vpc_range_is_accepted_exactly_when_the_documented_rules_hold(
    handlers: Handlers, address: int, prefix: int
) -> None:
    network = IPv4Network((address, prefix), strict=False)
    private = [IPv4Network(t) for t in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
    taken = [
        IPv4Network(t) for t in ("10.244.0.0/16", "10.245.0.0/16", "10.246.0.0/24", "10.229.0.0/16")
    ]
    allowed = (
        16 <= prefix <= 28
        and any(network.subnet_of(p) for p in private)
        and not any(network.overlaps(t) for t in taken)
    )
    inputs = {"name": "net", "region": "fra1", "ipRange": str(network)}
    assert (handlers.failures("Vpc", inputs) == []) is allowed


@_given
@given(tag=st.text(max_size=260))
def test_a_tag_is_accepted_exactly_when_it_fits_the_apis_pattern(
    handlers: Handlers, tag: str
) -> None:
    fits = re.fullmatch(r"[a-zA-Z0-9:\-_]{1,255}", tag) is not None
    assert (handlers.failures("Tag", {"name": tag}) == []) is fits


@_given
@given(
    size=st.sampled_from(sorted(catalog().sizes)), region=st.sampled_from(sorted(catalog().regions))
)
def test_a_size_is_accepted_exactly_where_the_catalogue_offers_it(
    handlers: Handlers, size: str, region: str
) -> None:
    found = handlers.failures("Droplet", {**DROPLET, "size": size, "region": region})
    assert (found == []) is (region in catalog().sizes[size].regions)


@_given
@given(
    engine=st.sampled_from(["pg", "valkey"]),
    nodes=st.integers(1, 3),
    size=st.sampled_from(sorted(catalog().engines["pg"].layouts[1])),
)
def test_a_standby_is_never_accepted_on_one_gigabyte(
    handlers: Handlers, engine: str, nodes: int, size: str
) -> None:
    version = "17" if engine == "pg" else "8"
    inputs = {**CLUSTER, "engine": engine, "version": version, "size": size, "nodeCount": nodes}
    accepted = handlers.failures("DatabaseCluster", inputs) == []
    assert accepted is (size in catalog().engines[engine].layouts[nodes])
    assert not (accepted and nodes > 1 and size.endswith("-1gb"))
