"""The gateway behind no tunnel, and the entrance before it: the real nginx, tried lock by lock."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from components import entrance, gateway

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
STREAM = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
HOST = "pay.example.com"
EDGE = "198.41.128.9"
needs_nginx = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"
)
Names = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _issue(
    file: Path, common: str, *, issuer: Names | None = None, authority: bool = False
) -> Names:
    """Write a certificate (and its key beside it) that an authority, or its own key, signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
    signer, signing = issuer or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
            critical=False,
        )
        .add_extension(_usage(authority), critical=True)
    )
    if not authority:
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        names = [x509.DNSName(common.replace(" ", "-"))]
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = builder.sign(signing, hashes.SHA256())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    file.with_suffix(".key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return subject, key


def _usage(authority: bool) -> x509.KeyUsage:
    """What the key is for: an authority signs certificates, the others sign handshakes."""
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class Stage:
    """A gateway that speaks TLS, and the certificates of those who come."""

    folder: Path
    port: int
    health: int

    def ask(
        self,
        *,
        client: str | None = "edge",
        peer: str = EDGE,
        name: str | None = HOST,
        host: str = HOST,
        port: int = 0,
        version: ssl.TLSVersion | None = None,
        proxy: bool = True,
    ) -> str:
        """The status line, or empty where nothing was said."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if version:
            context.minimum_version = context.maximum_version = version
        if client:
            file = self.folder / f"{client}.pem"
            context.load_cert_chain(file, file.with_suffix(".key"))
        plain = socket.create_connection(("127.0.0.1", port or self.port), 5)
        try:
            if proxy:
                plain.sendall(f"PROXY TCP4 {peer} 192.0.2.1 40000 443\r\n".encode())
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(plain, server_hostname=name) as encrypted,
            ):
                request = f"GET {gateway.HEALTH_PATH} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                encrypted.sendall(request.encode())
                return encrypted.recv(1000).partition(b"\r\n")[0].decode()
        finally:
            plain.close()
        return ""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("gateway")
    ours = _issue(folder / "authority.pem", "our authority", authority=True)
    theirs = _issue(folder / "shared-authority.pem", "everybody's", authority=True)
    _issue(folder / "edge.pem", "our edge", issuer=ours)
    _issue(folder / "shared.pem", "any edge", issuer=theirs)
    origins = _issue(folder / "origin-authority.pem", "origins' authority", authority=True)
    _issue(folder / "origin.pem", HOST, issuer=origins)
    # Where the container would write them: `/tmp/` stands for `<folder>/gateway-` here.
    for ready, name in (
        ("origin.pem", "origin.pem"),
        ("origin.key", "origin.key"),
        ("authority.pem", "client-authority.pem"),
    ):
        shutil.copy(folder / ready, folder / f"gateway-{name}")
    made = Stage(folder, _free_port(), _free_port())
    tls = gateway.Tls(
        edge=["198.41.128.0/17", "2400:cb00::/32"],
        port=made.port,
        health_port=made.health,
    )
    text = gateway.render(
        hostname=HOST, trusted=["127.0.0.0/8"], port=_free_port(), resolver="127.0.0.1", tls=tls
    )
    with _nginx(folder, "gateway", text, made.port):
        yield made


@contextlib.contextmanager
def _nginx(folder: Path, name: str, text: str, port: int) -> Iterator[None]:
    for place, here in (("/tmp/", f"{folder}/{name}-"), ("/dev/stdout", f"{folder}/{name}.log")):  # noqa: S108
        text = text.replace(place, here)
    config = folder / f"{name}.conf"
    config.write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    command = [str(NGINX), "-e", "stderr", "-c", str(config), "-g", f"daemon off; {user}"]
    with (folder / f"{name}.err").open("w") as errors:
        running = subprocess.Popen(command, stderr=errors)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        else:
            pytest.fail((folder / f"{name}.err").read_text())
        yield
    finally:
        running.terminate()
        running.wait(10)


def test_without_ranges_there_is_no_gateway() -> None:
    with pytest.raises(ValueError, match="no connection would be let in"):
        gateway.Tls(edge=[])


def test_nothing_listens_for_strangers_in_clear() -> None:
    tls = gateway.Tls(edge=["198.41.128.0/17"])
    text = gateway.render(hostname=HOST, trusted=["172.31.0.0/16"], tls=tls)
    assert not re.search(r"@[A-Z_]+@", text)
    assert "#" not in text, "a changed comment must not replace the gateway"
    listening = re.findall(r"listen ([^;]+);", text)
    assert sorted(listening) == [
        "127.0.0.1:8080 default_server",
        "8081 proxy_protocol default_server",
        "8443 ssl proxy_protocol",
        "8443 ssl proxy_protocol default_server",
    ]


@needs_nginx
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_our_edge_gets_through(stage: Stage, version: ssl.TLSVersion) -> None:
    assert stage.ask(version=version) == "HTTP/1.1 200 OK"


@needs_nginx
@pytest.mark.parametrize(
    "stranger",
    [
        {"client": None},
        {"client": "shared"},
        {"client": "origin"},
        {"peer": "203.0.113.9"},
        {"name": "www.example.com"},
        {"name": None},
        {"proxy": False},
    ],
    ids=str,
)
def test_one_wrong_thing_is_enough_to_get_nothing(
    stage: Stage, stranger: dict[str, str | None]
) -> None:
    assert stage.ask(**stranger) == ""  # type: ignore[arg-type]


@needs_nginx
def test_a_request_for_another_host_is_misdirected(stage: Stage) -> None:
    assert stage.ask(host="evil.example.org").split()[1] == "421"


@needs_nginx
def test_a_balancers_check_comes_with_the_proxy_protocol(stage: Stage) -> None:
    with socket.create_connection(("127.0.0.1", stage.health), 5) as check:
        check.sendall(b"PROXY TCP4 10.0.0.2 10.0.0.3 40000 8081\r\n")
        check.sendall(f"GET {entrance.HEALTH_PATH} HTTP/1.0\r\n\r\n".encode())
        assert b" 200 " in check.recv(1000)
    with socket.create_connection(("127.0.0.1", stage.health), 5) as check:
        check.sendall(b"PROXY TCP4 10.0.0.2 10.0.0.3 40000 8081\r\n")
        check.sendall(f"GET /login HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert b" 421 " in check.recv(1000), "nothing of the service is on that port"


@pytest.mark.parametrize("behind", [True, False])
def test_who_connects_is_said_once(behind: bool) -> None:
    text = entrance.render(gateway="gateway", behind_load_balancer=behind)
    assert not re.search(r"@[A-Z_]+@", text)
    wanted = "off" if behind else "on"  # the balancer has said it
    assert re.findall(r"proxy_protocol (\w+);", text) == [wanted]
    assert "ssl" not in text, "the entrance reads nothing"


@pytest.mark.skipif(
    NGINX is None or not STREAM.exists(),
    reason="nginx has no stream module (apt-get install libnginx-mod-stream)",
)
def test_the_entrance_passes_a_connection_on_to_the_gateway(stage: Stage, tmp_path: Path) -> None:
    door, health, local = _free_port(), _free_port(), _free_port()
    text = entrance.render(
        gateway="127.0.0.1", behind_load_balancer=True, ports=(door, health, local)
    )
    text = text.replace(f":{gateway.TLS_PORT}", f":{stage.port}")
    text = text.replace(f":{gateway.PROXIED_HEALTH_PORT}", f":{stage.health}")
    with _nginx(tmp_path, "entrance", f"load_module {STREAM};\n{text}", door):
        assert stage.ask(port=door) == "HTTP/1.1 200 OK"
        assert stage.ask(port=door, client=None) == ""
        with socket.create_connection(("127.0.0.1", local), 5) as own:
            assert own.recv(10) == b"ok\n"
        script = entrance.HEALTH_CHECK.replace(str(entrance.LOCAL_PORT), str(local))
        assert subprocess.run(["bash", "-c", script], check=False).returncode == 0
