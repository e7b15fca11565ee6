"""Object storage: an S3 server in the twin's process, with keys, grants and a journal."""

from twin.machines.spaces.server import Spaces

__all__ = ["Spaces"]
