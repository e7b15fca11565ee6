from __future__ import annotations

import pytest

from twin.clouds.docker.container_config import nanoseconds
from twin.clouds.docker.names import Reference, mirror_reference, problem
from twin.clouds.docker.ssh import HostError, SshHost

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "registry", "path", "tag", "digest"),
    [
        ("nginx", "", "nginx", "latest", ""),
        ("nginx:1.28", "", "nginx", "1.28", ""),
        ("valkey/valkey:8", "", "valkey/valkey", "8", ""),
        ("registry.twin.test:5000/pay/app", "registry.twin.test:5000", "pay/app", "latest", ""),
        ("localhost/app:1", "localhost", "app", "1", ""),
        (f"ghcr.io/x/y@{DIGEST}", "ghcr.io", "x/y", "", DIGEST),
        (f"127.0.0.1:5000/app:1@{DIGEST}", "127.0.0.1:5000", "app", "1", DIGEST),
    ],
)
def test_a_name_is_split_as_registries_split_it(
    text: str, registry: str, path: str, tag: str, digest: str
) -> None:
    parsed = Reference.parse(text)
    assert (parsed.registry, parsed.path, parsed.tag, parsed.digest) == (
        registry,
        path,
        tag,
        digest,
    )
    assert problem(text) is None
    assert Reference.parse(str(parsed)) == parsed


@pytest.mark.parametrize("text", ["Nginx", "a//b", "a:b c", f"x@{DIGEST[:-1]}", "", ":1", "a/-b"])
def test_what_no_registry_takes_is_refused(text: str) -> None:
    assert problem(text)


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("nginx:1.28", "library/nginx:1.28"),
        ("docker.io/valkey/valkey:8", "valkey/valkey:8"),
        ("cloudflare/cloudflared:2026.10.0", "cloudflare/cloudflared:2026.10.0"),
        ("registry.twin.test:5000/app:1", None),
        ("ghcr.io/x/y:1", None),
        (f"nginx@{DIGEST}", None),
        (DIGEST, None),
    ],
)
def test_only_docker_io_names_are_mirrored(text: str, mirrored: str | None) -> None:
    found = mirror_reference(text)
    assert (str(found) if found else None) == mirrored


def test_ssh_gets_the_options_and_dials_the_engine() -> None:
    host = SshHost.parse("ssh://deploy@203.0.113.5:2222", ["-F", "/x y/config"])
    assert host.command() == [
        *("ssh", "-F", "/x y/config", "-T", "-l", "deploy", "-p", "2222"),
        *("--", "203.0.113.5", "docker", "system", "dial-stdio"),
    ]
    assert str(host) == "ssh://deploy@203.0.113.5:2222"


@pytest.mark.parametrize(
    "url",
    [
        "ssh://",
        "ssh://-oProxyCommand=id",
        "ssh://a@-oProxyCommand=id",
        "ssh://u:p@host",
        "ssh://host/path",
        "ssh://host:port",
        "tcp://host",
        "ssh://a b@host",
    ],
)
def test_a_host_that_ssh_could_take_for_something_else_is_refused(url: str) -> None:
    with pytest.raises(HostError):
        SshHost.parse(url)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10s", 10 * 10**9),
        ("1m30s", 90 * 10**9),
        ("1.5s", 1_500_000_000),
        ("250ms", 250_000_000),
        ("0s", 0),
        ("", 0),
        ("10", None),
        ("s", None),
        ("10 s", None),
        ("-1s", None),
    ],
)
def test_durations_are_read_as_go_reads_them(text: str, value: int | None) -> None:
    assert nanoseconds(text) == value
