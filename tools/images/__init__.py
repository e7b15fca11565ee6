"""The images everything is built on: from their registry, else local stand-ins under the same tags.

An image that is present is used. Else its registry is asked, with little patience. Where none
answers, a stand-in is made of Debian packages: the base by mmdebstrap, the others on top of it. A
stand-in has the label `payments.stand-in`; `docker rmi` it to have the registry asked again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from docker.errors import APIError, DockerException, ImageNotFound

from tools.docker import Report
from tools.errors import ToolError, explain, tail
from tools.images import base
from tools.paths import cache_folder

BASE = "debian:trixie-slim"
PYTHON = "python:3.13-slim"
# tag → the folder of its stand-in's recipe
STAND_INS = {
    PYTHON: "python",
    "nginx:1.28": "nginx",
    "postgres:17": "postgres",
    "valkey/valkey:8": "valkey",
}
LABEL = "payments.stand-in"
_RECIPE_LABEL = "payments.stand-in.recipe"
_RECIPES = Path(__file__).parent
_FIRST_ANSWER_SECONDS = 12.0  # a registry that answers does so in one or two
_STALL_SECONDS = 120.0
_ASK_AGAIN_SECONDS = 1800.0
_WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many images were there, pulled, and built as stand-ins."""

    present: int
    pulled: int
    stand_ins: int

    def __str__(self) -> str:
        parts = [f"{self.present} present"]
        parts += [f"{self.pulled} pulled"] if self.pulled else []
        parts += [f"{self.stand_ins} local stand-ins built"] if self.stand_ins else []
        return ", ".join(parts)


class _NoRegistry(Exception):
    """No registry answers from here."""


def ensure_bases(client: Any, report: Report) -> Outcome:
    """Make sure that every base image is there. Raises ToolError with cause and remedy."""
    tags = [BASE, *STAND_INS]
    missing = [tag for tag in tags if not is_present(client, tag) or _is_outdated(client, tag)]
    reason = _asked_lately() if missing else ""
    pulled: list[str] = []
    if missing and not reason:
        try:
            for tag in missing:
                _pull(client, tag, report)
                pulled.append(tag)
        except _NoRegistry as error:
            reason = str(error)
            _remember(reason)
    left = [tag for tag in missing if tag not in pulled]
    if left:
        report.say(
            f"no image registry answers ({reason}): building local stand-ins of {', '.join(left)}"
        )
        _build_stand_ins(client, left, report)
    return Outcome(present=len(tags) - len(missing), pulled=len(pulled), stand_ins=len(left))


def is_present(client: Any, tag: str) -> bool:
    """Whether the engine holds an image of that name."""
    try:
        client.images.get(tag)
    except ImageNotFound:
        return False
    return True


def _is_outdated(client: Any, tag: str) -> bool:
    """Whether it is a stand-in of ours whose recipe has changed since."""
    labels = client.images.get(tag).labels or {}
    return LABEL in labels and labels.get(_RECIPE_LABEL) != _labels(tag)[_RECIPE_LABEL]


def _labels(tag: str) -> dict[str, str]:
    """What marks a stand-in: that it is one, and what it was made from."""
    digest = hashlib.sha256()
    sources = (
        [Path(base.__file__)] if tag == BASE else sorted((_RECIPES / STAND_INS[tag]).iterdir())
    )
    for file in sources:
        digest.update(file.name.encode() + file.read_bytes())
    return {LABEL: STAND_INS.get(tag, "base"), _RECIPE_LABEL: digest.hexdigest()[:16]}


def _pull(client: Any, tag: str, report: Report) -> None:
    """Pull one image. Raises _NoRegistry when nothing answers in time or the name is not served.

    The engine pulls in its own time and cannot be told a timeout: a thread listens to it, and when
    that hears nothing the connection is closed, which cancels the pull.
    """
    heard = threading.Event()
    ended: list[BaseException | None] = []
    last = [time.monotonic()]
    api = client.api
    name, _, version = tag.partition(":")

    def listen() -> None:
        try:
            for event in api.pull(name, tag=version, stream=True, decode=True):
                if "error" in event:
                    raise DockerException(str(event["error"]))
                heard.set()
                last[0] = time.monotonic()
                report.note(f"pulling {tag}: {event.get('status', '')} {event.get('progress', '')}")
            ended.append(None)
        except (DockerException, requests.RequestException, OSError) as error:
            ended.append(error)

    thread = threading.Thread(target=listen, daemon=True)
    report.note(f"asking the registry for {tag}")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        silent = time.monotonic() - last[0]
        if silent > (_STALL_SECONDS if heard.is_set() else _FIRST_ANSWER_SECONDS):
            api.close()
            raise _NoRegistry("it does not answer in time")
    error = ended[0]
    if error is not None:
        known = explain(str(error))
        if known and known[0] == "The disk is full.":
            raise ToolError(f"Pulling {tag} failed: {known[0]}", known[1], str(error))
        raise _NoRegistry(known[0].rstrip(".").lower() if known else tail(str(error), 1))


def _build_stand_ins(client: Any, tags: Iterable[str], report: Report) -> None:
    wanted = list(tags)
    if BASE in wanted:
        base.build(client, BASE, _labels(BASE), report)
        report.say(f"{BASE}: built from Debian packages")
    layered = [tag for tag in wanted if tag != BASE]
    with ThreadPoolExecutor(_WORKERS) as pool:
        builds: list[Future[None]] = [pool.submit(_build, client, tag, report) for tag in layered]
        try:
            for build in builds:
                build.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            client.api.close()  # what still builds is cancelled with its connection
            raise


def _build(client: Any, tag: str, report: Report) -> None:
    build_image(client, _RECIPES / STAND_INS[tag], tag, _labels(tag), report)
    report.say(f"{tag}: built from Debian packages")


def build_image(
    client: Any, folder: Path, tag: str, labels: dict[str, str], report: Report
) -> None:
    """Build a folder's Dockerfile. Raises ToolError with the build's last lines."""
    lines: list[str] = []
    try:
        for event in client.api.build(
            path=str(folder), tag=tag, labels=labels, rm=True, forcerm=True, decode=True
        ):
            text = str(event.get("stream") or event.get("error") or "").strip()
            if text:
                lines.append(text)
                report.note(f"{tag}: {text.splitlines()[-1]}")
            if "error" in event:
                raise _failed(tag, lines)
    except (APIError, requests.RequestException, OSError) as error:
        raise _failed(tag, [*lines, str(error)]) from error


def _failed(tag: str, lines: list[str]) -> ToolError:
    text = "\n".join(lines)
    known = explain(text)
    return ToolError(
        f"Building {tag} failed{f': {known[0]}' if known else '.'}",
        known[1] if known else "",
        tail(text, 8),
    )


def remove_ours(client: Any) -> list[str]:
    """Remove the stand-ins and the twin's images; returns the tags that went."""
    removed = []
    for label in (LABEL, "payments.twin.image", "payments.twin.connector"):
        for image in client.images.list(filters={"label": label}):
            for tag in image.tags:
                with contextlib.suppress(APIError):  # in use, or a base of something else
                    client.images.remove(tag)
                    removed.append(tag)
    return removed


def _asked_lately() -> str:
    try:
        last = json.loads(_memory().read_text())
        recent = 0 <= time.time() - float(last["at"]) < _ASK_AGAIN_SECONDS
        return str(last["reason"]) if recent else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _remember(reason: str) -> None:
    _memory().write_text(json.dumps({"at": time.time(), "reason": reason}))


def _memory() -> Path:
    return cache_folder() / "registry-failed.json"
