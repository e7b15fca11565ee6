"""Which TLS a zone takes, by what was deployed."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.twin.edge.firewall.zone import setting
from tests.twin.edge.harness import SITE, Site, run, running
from twin.edge import hello
from twin.edge.tls import INTERMEDIATE

OLD, NEW = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_3


async def connect(
    site: Site,
    lowest: ssl.TLSVersion = OLD,
    highest: ssl.TLSVersion = NEW,
    ciphers: str = "ALL:@SECLEVEL=0",
    name: str = SITE,
) -> tuple[str, str] | None:
    """Return the version and cipher that were agreed on, or None."""
    client = ssl.create_default_context(cafile=str(site.home / "ca.pem"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version, client.maximum_version = lowest, highest
    client.set_ciphers(ciphers)
    try:
        _, writer = await asyncio.open_connection(
            "127.0.0.1", site.edge.port, ssl=client, server_hostname=name
        )
    except (ssl.SSLError, ConnectionResetError):
        return None
    connection = writer.get_extra_info("ssl_object")
    agreed = (connection.version(), connection.cipher()[0])
    writer.close()
    return agreed


@pytest.mark.parametrize(
    ("minimum", "highest", "agreed"),
    [
        (None, ssl.TLSVersion.TLSv1, "TLSv1"),  # a zone that nobody has set up
        ("1.0", ssl.TLSVersion.TLSv1, "TLSv1"),
        ("1.1", ssl.TLSVersion.TLSv1, None),
        ("1.1", ssl.TLSVersion.TLSv1_1, "TLSv1.1"),
        ("1.2", ssl.TLSVersion.TLSv1_1, None),
        ("1.2", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("1.2", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("1.3", ssl.TLSVersion.TLSv1_2, None),
    ],
)
def test_the_minimum_version_is_the_deployed_one(
    tmp_path: Path, minimum: str | None, highest: ssl.TLSVersion, agreed: str | None
) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            if minimum is not None:
                setting(site, "min_tls_version", minimum)
            found = await connect(site, highest=highest)
            assert (found and found[0]) == agreed

    run(scenario())


def test_tls_1_3_can_be_switched_off_and_on_while_running(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            for value, agreed in (("off", "TLSv1.2"), ("on", "TLSv1.3"), ("zrt", "TLSv1.3")):
                setting(site, "tls_1_3", value)
                found = await connect(site)
                assert found is not None
                assert found[0] == agreed

    run(scenario())


def test_ciphers_are_the_deployed_ones_and_cbc_only_without(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            tls12 = ssl.TLSVersion.TLSv1_2
            cbc = "ECDHE-ECDSA-AES128-SHA256"
            found = await connect(site, highest=tls12, ciphers=cbc)
            assert found == ("TLSv1.2", cbc), "a zone without Advanced Certificate Manager"
            setting(site, "ciphers", list(INTERMEDIATE))
            setting(site, "min_tls_version", "1.2")
            assert await connect(site, highest=tls12, ciphers=cbc) is None
            for cipher in INTERMEDIATE:
                found = await connect(site, highest=tls12, ciphers=cipher)
                assert found == ("TLSv1.2", cipher)

    run(scenario())


def test_other_zones_and_the_twins_own_names_are_not_touched(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            setting(site, "min_tls_version", "1.3")
            tls12 = ssl.TLSVersion.TLSv1_2
            assert await connect(site, highest=tls12) is None
            assert await connect(site, highest=tls12, name="twin.localhost") is not None
            old = ssl.TLSVersion.TLSv1_1
            assert await connect(site, highest=old, name="twin.localhost") is None

    run(scenario())


def a_hello(name: str | None) -> bytes:
    """What OpenSSL sends first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("asked", "read"), [(SITE, SITE), ("PAY.Payments.localhost", SITE), (None, "")]
)
def test_the_asked_name_is_read_from_the_hello(asked: str | None, read: str) -> None:
    assert hello.server_name(a_hello(asked)) == read


def test_a_hello_in_part_asks_for_more() -> None:
    whole = a_hello(SITE)
    for length in range(len(whole)):
        with pytest.raises(hello.Incomplete):
            hello.server_name(whole[:length])


@given(st.binary(max_size=300), st.integers(0, 511))
def test_what_is_no_hello_is_never_an_error(noise: bytes, at: int) -> None:
    whole = bytearray(a_hello(SITE))
    at %= len(whole)
    whole[at : at + len(noise)] = noise
    for data in (noise, bytes(whole)):
        try:
            assert isinstance(hello.server_name(data), str)
        except hello.Incomplete:
            assert len(data) < hello.LONGEST, "a reader would wait for ever"


def test_a_client_that_sends_its_hello_byte_by_byte_gets_its_zones_tls(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as site:
            setting(site, "min_tls_version", "1.3")
            reader, writer = await asyncio.open_connection("127.0.0.1", site.edge.port)
            for byte in a_hello(SITE):
                writer.write(bytes([byte]))
                await writer.drain()
            answer = await reader.read(6)
            assert answer[0] == 0x16, "a handshake record, not an alert"
            assert answer[5] == 2, "ServerHello"
            writer.close()

    run(scenario())
