"""SSH keys and tags.

Rules: terraform-provider-digitalocean sshkey/*.go, tag/tags.go; digitalocean/openapi.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Final

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.rules import known
from twin.protocol.resource import ApiError, Change, Context, Created, Failure, Props, Resource

_FIRST_KEY_ID: Final = 50_000_001
_KEY_TYPES: Final = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


class SshKey(Resource):
    """A public key that droplets are created with; each key once in an account."""

    token = common.SSH_KEY

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        key = known(inputs, "publicKey")
        if key is not None and _blob(key) is None:
            yield Failure(
                "publicKey",
                f'"{key[:20]}…" is no public key, which has the format `type key [comment]`',
            )

    def diff(self, ctx: Context, olds: Props, news: Props, changed: set[str]) -> Change:
        # Blanks at the ends mean nothing: a key read from a file ends with a line feed.
        new = known(news, "publicKey")
        same = new is not None and str(olds.get("publicKey")).strip() == new.strip()
        return Change(ignore=frozenset({"publicKey"}) if same else frozenset())

    def create(self, ctx: Context, inputs: Props) -> Created:
        key = inputs["publicKey"].strip()
        print_ = fingerprint(key)
        for other in ctx.store.find(self.token, fingerprint=print_):
            raise ApiError(
                422,
                f"publicKey {print_}: SSH Key is already in use on your account, "
                f'as "{other.outputs["name"]}"',
            )
        make = lambda: str(ctx.store.next("digitalocean ssh keys", start=_FIRST_KEY_ID))  # noqa: E731
        with birth(ctx, self.token, print_, make) as id:
            outputs = {**inputs, "publicKey": key, "fingerprint": print_}
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        return {**outputs, "name": news["name"]}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        forget(ctx, self.token, id)


class Tag(Resource):
    """A name that droplets, firewalls and trusted sources share; its id is the name."""

    token = common.TAG

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name = known(inputs, "name")
        if name is not None:
            for failure in common.tag_failures({"name": [name]}, "name"):
                yield Failure("name", failure.reason)

    def create(self, ctx: Context, inputs: Props) -> Created:
        # The API answers a second creation with the tag that is there, and so does this.
        counts = (
            "databasesCount",
            "dropletsCount",
            "imagesCount",
            "totalResourceCount",
            "volumeSnapshotsCount",
            "volumesCount",
        )
        return Created(id=inputs["name"], outputs={**inputs, **dict.fromkeys(counts, 0)})

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        """Droplets and clusters lose the tag in the API; theirs is read from their own records."""


def fingerprint(public_key: str) -> str:
    """The MD5 fingerprint of an OpenSSH public key, in the API's form `3b:16:…`."""
    blob = _blob(public_key)
    if blob is None:
        raise ValueError("no OpenSSH public key")
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _blob(public_key: str) -> bytes | None:
    parts = public_key.split()
    if len(parts) < 2 or parts[0] not in _KEY_TYPES:
        return None
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    length = int.from_bytes(blob[:4], "big")
    return blob if blob[4 : 4 + length] == parts[0].encode() else None
