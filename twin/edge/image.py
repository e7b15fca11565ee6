"""The connector's image: built for one twin, because the twin's authority is baked into it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors

from twin.ca import CertificateAuthority
from twin.places import instance_name, own_image

IMAGE = "cloudflare/cloudflared:2026.10.0"
"""The real image's name: what the program deploys and droplets see."""
LABEL = "payments.twin.connector"
"""Holds a hash of everything in the image: another one means that it is built anew."""
_SOURCES = Path(__file__).parent / "connector"
_FILES = ("__init__.py", "__main__.py", "agent.py", "wire.py")


def ensure_connector_image(
    home: Path,
    docker_client: docker.DockerClient,
    progress: Callable[[str], None],
) -> str:
    """Build the image on this engine unless it is there and right; returns its name there.

    Needs `python:3.13-slim` on the engine, or a registry that has it. Raises
    `docker.errors.BuildError` with the log of a build that failed.
    """
    name = own_image(instance_name(home), IMAGE)
    context = _context(CertificateAuthority(home).certificate)
    wanted = hashlib.sha256(context).hexdigest()
    outdated = None
    with contextlib.suppress(docker.errors.ImageNotFound):
        outdated = docker_client.images.get(name)
        if outdated.labels.get(LABEL) == wanted:
            return name
    progress(f"building {IMAGE} (the twin's connector)")
    docker_client.images.build(
        fileobj=io.BytesIO(context),
        custom_context=True,
        tag=name,
        labels={LABEL: wanted},
        rm=True,
        forcerm=True,
    )
    if outdated is not None:
        with contextlib.suppress(docker.errors.APIError):  # in use, or tagged otherwise too
            docker_client.images.remove(outdated.id)
    return name


def _context(authority: str) -> bytes:
    """Return the build's context as a tar file, the same bytes for the same content."""
    files = {f"connector/{name}": (_SOURCES / name).read_bytes() for name in _FILES}
    files["cloudflared"] = (_SOURCES / "cloudflared").read_bytes()
    files["Dockerfile"] = (_SOURCES / "Dockerfile").read_bytes()
    files["ca.pem"] = authority.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if name == "cloudflared" else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
