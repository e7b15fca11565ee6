"""Machines behind the control planes: droplets, managed databases, registry, names, object storage.

`DockerWorld` is the `World` that runs the real thing in containers of one Docker engine.
"""

from twin.machines.droplets import DropletEngine
from twin.machines.images import ImageSource, Progress, ensure_images, image_sources
from twin.machines.world import DockerWorld

__all__ = [
    "DockerWorld",
    "DropletEngine",
    "ImageSource",
    "Progress",
    "ensure_images",
    "image_sources",
]
