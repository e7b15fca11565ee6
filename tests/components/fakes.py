"""Stand-ins that component tests share: a built program, a machine, programs on PATH."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import pulumi
import pulumi_command as command
import pulumi_digitalocean as digitalocean

from components.host import Machine
from tests.recorder import Recorder

T = TypeVar("T")

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINF3CoT9JW2IQTazQNdBeXlBxnnJskTDr40AqgCUpFZy test"
IMAGE_ID: Final = "sha256:" + "ab" * 32


def built(program: Callable[[], T], *, preview: bool = False) -> tuple[Recorder, T]:
    """The record of a small program, and what it returned."""
    recorder = Recorder()
    returned = recorder.build(program, preview=preview)
    return recorder, returned


def machine(name: str = "host-0") -> Machine:
    """A droplet behind its gate; call it inside a program."""
    droplet = digitalocean.Droplet(f"{name}-droplet", image="debian-13-x64", size="s-1vcpu-1gb")
    return Machine(
        name=name,
        droplet=droplet,
        droplet_id=droplet.id,
        address=pulumi.Output.from_input("203.0.113.7"),
        ready=command.local.Command(f"{name}-ready", create="true"),
    )


def program_on_path(folder: Path, name: str, script: str) -> dict[str, str]:
    """An environment whose PATH begins with a program of this name that runs a shell script."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
