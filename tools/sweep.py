"""Remove whatever an instance left on this machine, without asking the twin or the engine.

Everything an instance makes is found by the label `payments.twin=<instance>` or by its folder in a
process's command line, so that it is found after any crash. Every step is tried; what could not be
done is returned in words.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException, NotFound

from tools import process
from tools.paths import Home
from tools.place import LABEL
from twin.places import own_image

Note = Callable[[str], None]


def docker_objects(client: Any, home: Home, note: Note) -> list[str]:
    """Remove the instance's containers, networks and volumes; returns what could not be removed."""
    chosen = {"label": f"{LABEL}={home.instance}"}
    failed: list[str] = []
    for container in client.containers.list(all=True, filters=chosen, ignore_removed=True):
        note(f"removing the container {container.name}")
        _try(failed, f"container {container.name}", partial(container.remove, force=True, v=True))
    for network in client.networks.list(filters=chosen):
        note(f"removing the network {network.name}")
        _try(failed, f"network {network.name}", network.remove)
    for volume in client.volumes.list(filters=chosen):
        note(f"removing the volume {volume.name}")
        _try(failed, f"volume {volume.name}", partial(volume.remove, force=True))
    return failed


def image_prefixes(client: Any, home: Home) -> tuple[str, ...]:
    """How the names of images begin that were built for the instance, or for its registry."""
    own = [own_image(home.instance, "")]
    with contextlib.suppress(NotFound):
        registry = client.containers.get(f"{home.instance}-registry")
        port = registry.attrs["HostConfig"]["PortBindings"]["5001/tcp"][0]["HostPort"]
        own.append(f"127.0.0.1:{port}/")
    return tuple(own)


def own_images(client: Any, home: Home, prefixes: tuple[str, ...]) -> None:
    """Remove the instance's images, once its containers are gone; what is used elsewhere stays."""
    tags = [tag for it in client.images.list() for tag in it.tags if tag.startswith(prefixes)]
    labelled = client.images.list(filters={"label": f"{LABEL}={home.instance}", "dangling": True})
    for name in [*tags, *(it.id for it in labelled)]:
        with contextlib.suppress(APIError):
            client.images.remove(name)


def processes(home: Home, note: Note) -> None:
    """End what still runs for the instance: connection masters of ssh, programs of the engine."""
    for pid in _of_instance(home):
        note(f"stopping process {pid}: {process.command_line(pid)[:80]}")
        process.terminate(pid, grace=10.0)


def _of_instance(home: Home) -> list[int]:
    """Processes with the instance's folders in their command line, but not us and our parents."""
    marks = (os.fsencode(home.path) + b"/", os.fsencode(home.run_dir) + b"/")
    mine = _ancestors()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(folder.name)
            # Ends with a separator, so that a folder beside ours with a longer name is not meant.
            line = (folder / "cmdline").read_bytes().replace(b"\0", b"/\0")
            if pid not in mine and any(mark in line for mark in marks) and _is_ours(folder):
                found.append(pid)
    return found


def _is_ours(folder: Path) -> bool:
    """An editor or a pager on one of the files is not: only programs that an instance starts."""
    name = (folder / "comm").read_text().strip()
    return name.startswith(("ssh", "pulumi", "python", "docker"))


def _ancestors() -> set[int]:
    found, pid = {os.getpid()}, os.getppid()
    while pid > 1 and pid not in found:
        found.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            break
    return found


def _try(failed: list[str], what: str, action: Callable[[], Any]) -> None:
    try:
        action()
    except NotFound:
        return
    except (APIError, DockerException, requests.RequestException) as error:
        failed.append(f"{what}: {error}")


def leftovers(client: Any, home: Home) -> list[str]:
    """The names of Docker objects that carry the instance's label."""
    chosen = {"label": f"{LABEL}={home.instance}"}
    return [
        *(it.name for it in client.containers.list(all=True, filters=chosen)),
        *(it.name for it in client.networks.list(filters=chosen)),
        *(it.name for it in client.volumes.list(filters=chosen)),
    ]
