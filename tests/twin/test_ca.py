"""The twin's certificate authority, checked by a real TLS handshake."""

import multiprocessing
import socket
import ssl
import threading
from pathlib import Path

import pytest

from twin.ca import CertificateAuthority


def _strict_client(ca_file: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    return context


def _handshake(tmp_path: Path, ca_file: Path, pair: tuple[str, str], name: str) -> None:
    cert, key = tmp_path / "server.pem", tmp_path / "server.key"
    cert.write_text(pair[0])
    key.write_text(pair[1])
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    left, right = socket.socketpair()

    def serve() -> None:
        try:
            with server.wrap_socket(left, server_side=True) as tls:
                tls.recv(1)
        except OSError:
            left.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with _strict_client(ca_file).wrap_socket(right, server_hostname=name) as tls:
            tls.send(b"x")
    finally:
        right.close()
        thread.join(5)


@pytest.mark.parametrize("name", ["registry.twin.test", "pay.payments.localhost", "203.0.113.7"])
def test_a_strict_client_accepts_every_name_of_a_certificate(tmp_path: Path, name: str) -> None:
    ca = CertificateAuthority(tmp_path / "home")
    pair = ca.server_certificate(["registry.twin.test", "*.payments.localhost", "203.0.113.7"])
    _handshake(tmp_path, ca.certificate_file, pair, name)


def test_a_name_that_is_not_in_the_certificate_is_refused(tmp_path: Path) -> None:
    ca = CertificateAuthority(tmp_path / "home")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, ca.certificate_file, ca.server_certificate(["a.test"]), "b.test")


def test_another_homes_authority_is_not_trusted(tmp_path: Path) -> None:
    ours = CertificateAuthority(tmp_path / "one")
    theirs = CertificateAuthority(tmp_path / "two")
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(tmp_path, ours.certificate_file, theirs.server_certificate(["a.test"]), "a.test")


def test_the_authority_outlives_the_process_and_its_key_is_private(tmp_path: Path) -> None:
    first = CertificateAuthority(tmp_path).certificate
    assert CertificateAuthority(tmp_path).certificate == first, "droplets trust the first one"
    assert (tmp_path / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_same_names_get_the_same_certificate(tmp_path: Path) -> None:
    ca = CertificateAuthority(tmp_path)
    assert ca.server_certificate(["A.test."]) == ca.server_certificate(["a.test"])
    assert ca.server_certificate(["a.test"]) != ca.server_certificate(["b.test"])


def test_a_long_name_stands_in_the_alternative_names_alone(tmp_path: Path) -> None:
    name = "private-" + "x" * 25 + "-do-user-1-0.g.db.ondigitalocean.com"
    ca = CertificateAuthority(tmp_path / "home")
    _handshake(tmp_path, ca.certificate_file, ca.server_certificate([name]), name)


def test_processes_that_start_at_once_make_one_authority(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        seen = pool.map(_certificate_of, [tmp_path] * 6)
    assert len(set(seen)) == 1


def _certificate_of(home: Path) -> str:
    return CertificateAuthority(home).certificate


def test_a_key_that_is_not_the_certificates_is_refused_with_the_remedy(tmp_path: Path) -> None:
    CertificateAuthority(tmp_path / "one")
    CertificateAuthority(tmp_path / "two")
    (tmp_path / "two" / "ca.key").replace(tmp_path / "one" / "ca.key")
    with pytest.raises(ValueError, match="remove both"):
        CertificateAuthority(tmp_path / "one")
