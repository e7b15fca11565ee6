"""`debian:trixie-slim` without a registry: mmdebstrap makes the tree, the engine imports it.

The machine's certificate bundle goes in: behind a company's certificate authority the package
registries of Python and others speak https only, and builds reach them through it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools import process, system
from tools.docker import Report
from tools.errors import ToolError

SUITE = "trixie"
_LEAST_BYTES = 1_000_000_000
_CHUNK = 1 << 20
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
_LOCAL_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")


def build(client: Any, tag: str, labels: Mapping[str, str], report: Report) -> None:
    """Make the base image. Needs mmdebstrap, which root on Debian gets installed."""
    system.require(
        "mmdebstrap",
        ["mmdebstrap", "debian-archive-keyring"],
        "it makes the base image",
        report.say,
    )
    if not _KEYRING.exists():
        system.apt_install(["debian-archive-keyring"], "it verifies Debian's packages", report.say)
    with tempfile.TemporaryDirectory(prefix="payments-base-") as folder:
        free = shutil.disk_usage(folder).free
        if free < _LEAST_BYTES:
            raise ToolError(
                f"The base image needs 1 GB in {tempfile.gettempdir()}, {free >> 20} MB are free.",
                "Free some space, or set TMPDIR to another disk.",
            )
        tree = Path(folder) / "base.tar"
        report.note(f"{tag}: making a Debian {SUITE} tree (about 20 s)")
        # mmdebstrap ends its whole process group when it fails: in a session of its own, as every
        # child of ours, that is nobody else.
        process.run(arguments(tree), on_line=report.note, what=f"Making {tag}", grace=5.0)
        report.note(f"{tag}: importing the tree")
        repository, _, version = tag.partition(":")
        with tree.open("rb") as stream:
            client.api.import_image_from_stream(
                iter(lambda: stream.read(_CHUNK), b""),  # an iterator is sent in proper chunks
                repository=repository,
                tag=version,
                changes=['CMD ["bash"]', *(f"LABEL {k}={v}" for k, v in labels.items())],
            )


def arguments(tree: Path) -> list[str]:
    """The command line that makes the tree."""
    argv = ["mmdebstrap", "--quiet", "--variant=apt", "--include=ca-certificates,passwd"]
    argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    excludes = "".join(f"path-exclude={pattern}\\n" for pattern in _LEFT_OUT)
    argv.append(f'--customize-hook=printf "{excludes}" > "$1/etc/dpkg/dpkg.cfg.d/slim"')
    proxy = apt_proxy()
    if proxy:
        argv.append(f'--aptopt=Acquire::http::Proxy "{proxy}"')
    for certificate in sorted(_LOCAL_CERTIFICATES.glob("*.crt")):
        argv.append(f"--customize-hook=copy-in '{certificate}' {_LOCAL_CERTIFICATES}")
    bundle = Path(os.environ.get("SSL_CERT_FILE", "") or _BUNDLE)
    if bundle.exists():
        argv.append(f"--customize-hook=upload '{bundle}' {_BUNDLE}")
    if system.distribution().id != "debian":
        argv.append(f"--keyring={_KEYRING}")
    argv += [SUITE, str(tree)]
    mirror = debian_mirror()
    return [*argv, mirror] if mirror else argv


def debian_mirror(sources: Path = Path("/etc/apt")) -> str:
    """The mirror this Debian machine uses itself, or nothing (mmdebstrap knows the public one)."""
    if system.distribution().id != "debian":
        return ""
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file():
            continue
        for line in file.read_text(errors="replace").splitlines():
            fields = line.split()
            if fields[:1] == ["URIs:"] or (fields[:1] == ["deb"] and len(fields) > 2):
                for field in fields[1:]:
                    if field.startswith("http") and field.rstrip("/").endswith("/debian"):
                        return field
    return ""


def apt_proxy() -> str:
    """The proxy apt is set to use on this machine, or nothing."""
    if not shutil.which("apt-config"):
        return ""
    done = process.run(["apt-config", "dump", "Acquire::http::Proxy"], check=False)
    quoted = done.out.partition('"')[2].partition('"')[0]
    return quoted if quoted not in ("", "DIRECT") else ""
