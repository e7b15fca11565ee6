"""The gateway's configuration, in the real nginx in front of replicas that misbehave."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components import gateway

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
HOST = "pay.example.com"
needs_nginx = pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed (apt-get install nginx-light)"
)


def _config() -> str:
    return gateway.render(hostname=HOST, trusted=["172.31.0.0/16"])


def test_a_name_that_could_end_a_directive_is_refused() -> None:
    with pytest.raises(ValueError, match="plain host name"):
        gateway.render(hostname="pay.example.com; return 200", trusted=[])


def test_nothing_is_left_to_fill_in_and_comments_are_gone() -> None:
    text = _config()
    assert not re.search(r"@[A-Z_]+@", text)
    assert "#" not in text, "a changed comment must not replace the gateway"


def test_no_connection_is_kept_on_either_side() -> None:
    text = _config()
    assert "keepalive_timeout 0;" in text, "a POST could meet a connection that is just closing"
    assert "keepalive " not in text, "the same, towards a replica"


def test_a_post_is_repeated_only_after_a_503() -> None:
    first, _, other = _config().partition("location @other_replica")
    assert "non_idempotent" not in first, "a POST that was sent must not be sent again"
    assert "non_idempotent" in other


def test_a_stopped_gateway_drains_within_the_containers_grace() -> None:
    from components.containers import GRACE_SECONDS

    assert gateway.DRAIN_SECONDS < GRACE_SECONDS


@dataclass
class Replica:
    """An api replica that does as it is told, and remembers what it was asked."""

    address: str
    port: int
    status: int = 200
    hang_up: bool = False
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        replica = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                replica.asked.append((self.command, self.path, headers, body))
                if replica.hang_up:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                answer = json.dumps({"by": replica.address}).encode()
                self.send_response(replica.status)
                self.send_header("Server", "uvicorn 9.9")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = handle_any

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer((self.address, self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


class Names:
    """A name server for `api`: as Docker's, it knows the replicas that there are."""

    def __init__(self, addresses: Callable[[], list[str]]) -> None:
        self._addresses = addresses
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, sender = self._socket.recvfrom(512)
            except OSError:
                return
            end = query.index(b"\0", 12) + 5
            found = self._addresses()
            head = query[:2] + b"\x81\x80\0\x01" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
            answers = b"".join(
                b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04" + socket.inet_aton(a) for a in found
            )
            self._socket.sendto(head + query[12:end] + answers, sender)

    def close(self) -> None:
        self._socket.close()


@dataclass
class Stage:
    """nginx with two replicas behind it."""

    port: int
    replicas: tuple[Replica, Replica]
    log: Path

    def ask(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        host: str = HOST,
        body: bytes | None = None,
        **headers: str,
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers={"Host": host, **named})
        return connection.getresponse()

    @property
    def asked(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [request for replica in self.replicas for request in replica.asked]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    upstream, port = _free_port(), _free_port()
    replicas = (Replica("127.0.0.1", upstream), Replica("127.0.0.2", upstream))
    for replica in replicas:
        replica.start()
    names = Names(lambda: [replica.address for replica in replicas])
    # Loopback stands for the containers' network; everything else is the real text.
    text = gateway.render(
        hostname=HOST,
        trusted=["127.0.0.0/8"],
        port=port,
        api=f"api.test:{upstream}",
        resolver=f"127.0.0.1:{names.port}",
    )
    for place, here in (("/tmp/", f"{tmp_path}/"), ("/dev/stdout", f"{tmp_path}/log")):  # noqa: S108
        text = text.replace(place, here)
    (tmp_path / "nginx.conf").write_text(text)
    # Unprivileged workers could not enter pytest's private folder.
    user = "user root;" if os.geteuid() == 0 else ""
    command = [str(NGINX), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
    running = subprocess.Popen(
        [*command, "-g", f"daemon off; {user}"], stderr=(tmp_path / "err").open("w")
    )
    try:
        _wait_for(port, tmp_path / "err")
        yield Stage(port, replicas, tmp_path / "log")
    finally:
        running.terminate()
        running.wait(10)
        names.close()
        for replica in replicas:
            replica.stop()


def _wait_for(port: int, errors: Path) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"nginx did not start: {errors.read_text()}")


@needs_nginx
def test_a_request_reaches_a_replica_with_the_visitors_address_and_an_id(stage: Stage) -> None:
    answer = stage.ask(
        "POST",
        "/orders?x=1",
        body=b"{}",
        CF_Connecting_IP="198.51.100.9",
        X_Forwarded_For="6.6.6.6",
        X_Request_Id="forged",
    )
    assert answer.status == 200
    ((method, path, headers, body),) = stage.asked
    assert (method, path, body) == ("POST", "/orders?x=1", b"{}")
    assert headers["x-real-ip"] == headers["x-forwarded-for"] == "198.51.100.9", (
        "a visitor could choose the address that limits are counted by"
    )
    assert headers["x-forwarded-proto"] == "https"
    assert headers["host"] == HOST
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"]), "ids are ours, not a visitor's"
    assert headers["connection"] == "close"


@needs_nginx
def test_the_path_arrives_as_it_was_sent(stage: Stage) -> None:
    path = "/a//api/%2e%2e/Admin%2Fx"
    stage.ask(path=path)
    assert stage.asked[0][1] == path, "the app decides, on what was sent"


@needs_nginx
def test_no_version_is_told(stage: Stage) -> None:
    assert stage.ask().getheader("Server") == "nginx", "neither nginx's version nor the app's"


@needs_nginx
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_replica_that_is_not_ready_is_passed_over(stage: Stage, method: str) -> None:
    stage.replicas[0].status = 503
    for number in range(12):
        answer = stage.ask(method, "/orders", body=b"n=%d" % number if method == "POST" else None)
        assert answer.status == 200, "one replica was ready all the time"
    if method == "POST":
        bodies = {request[3] for request in stage.replicas[1].asked}
        assert len(bodies) == 12, "the body must come along to the other replica"


@needs_nginx
def test_a_replica_that_is_gone_is_passed_over_for_a_post_too(stage: Stage) -> None:
    stage.replicas[0].stop()
    assert {stage.ask("POST", "/orders", body=b"x").status for _ in range(12)} == {200}


@needs_nginx
def test_when_no_replica_is_ready_the_apps_own_answer_arrives(stage: Stage) -> None:
    for replica in stage.replicas:
        replica.status = 503
    answer = stage.ask("POST", "/orders", body=b"x")
    assert answer.status == 503
    assert b"by" in answer.read(), "the app's body says why, the gateway's does not"


@needs_nginx
def test_a_post_that_was_sent_is_never_sent_again(stage: Stage) -> None:
    for replica in stage.replicas:
        replica.hang_up = True
    assert stage.ask("POST", "/orders", body=b"x").status == 502
    assert len(stage.asked) == 1, "the first replica may have done the work before it died"


@needs_nginx
def test_a_get_that_broke_off_is_asked_of_the_other_replica(stage: Stage) -> None:
    stage.replicas[0].hang_up = True
    assert {stage.ask().status for _ in range(6)} == {200}


@needs_nginx
def test_a_name_that_is_not_ours_gets_nothing(stage: Stage) -> None:
    assert stage.ask(host="evil.example.org").status == 421, "DNS rebinding ends here"
    assert not stage.asked


@needs_nginx
def test_the_gateways_own_health_needs_no_replica(stage: Stage) -> None:
    for replica in stage.replicas:
        replica.stop()
    for host in ("127.0.0.1", HOST):
        assert stage.ask(path=gateway.HEALTH_PATH, host=host).status == 200


@needs_nginx
def test_a_body_past_the_limit_is_refused_before_it_reaches_a_replica(stage: Stage) -> None:
    connection = socket.create_connection(("127.0.0.1", stage.port), 5)
    connection.sendall(
        f"POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 1048577\r\n\r\n".encode()
    )
    assert b" 413 " in connection.recv(1000)
    connection.close()
    assert not stage.asked


@needs_nginx
def test_an_upgrade_is_passed_on(stage: Stage) -> None:
    stage.ask(path="/socket.io/?EIO=4", Connection="Upgrade", Upgrade="websocket")
    headers = stage.asked[0][2]
    assert (headers["connection"], headers["upgrade"]) == ("upgrade", "websocket")


@needs_nginx
def test_the_log_is_json_without_the_query(stage: Stage) -> None:
    stage.ask(path="/return?session_id=cs_secret", CF_Connecting_IP="198.51.100.9", CF_Ray="ray-1")
    stage.ask(path=gateway.HEALTH_PATH)
    for _ in range(40):
        lines = stage.log.read_text().splitlines() if stage.log.exists() else []
        if lines:
            break
        time.sleep(0.05)
    (line,) = lines
    entry = json.loads(line)
    assert entry["client"] == "198.51.100.9"
    assert entry["ray"] == "ray-1"
    assert entry["path"] == "/return"
    assert "cs_secret" not in line, "references of payments do not belong in logs"
