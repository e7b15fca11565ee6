"""Object storage for database dumps and exports: a bucket and the only key that opens it.

Owns both. Not: what writes into it.

- The bucket has no `name`: the provider plans a rename and never does it.
- Versions are kept, so that a leaked key can overwrite but not destroy a dump before it expires;
  they count as content: `pulumi destroy` of a protected stack fails on a bucket that has any.
- The key is for this bucket alone. Its secret is known at creation only; losing the state loses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_digitalocean as digitalocean

VERSIONS_DAYS: Final = 14
"""How long an overwritten or deleted object can be brought back."""


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """Where the bucket lives, how long it keeps, and whether it is protected."""

    region: str
    retention_days: int
    protect: bool

    def __post_init__(self) -> None:
        if self.retention_days < 1:
            raise ValueError(
                f"retention_days={self.retention_days}: dumps would be deleted as they arrive"
            )


class Storage(pulumi.ComponentResource):
    """A private, versioned bucket and its key."""

    bucket: pulumi.Output[str]
    """The bucket's name."""
    endpoint: pulumi.Output[str]
    """The region's S3 endpoint, as a host name."""
    access_key: pulumi.Output[str]
    """The key's id (secret, for company's sake)."""
    secret_key: pulumi.Output[str]
    """The key's secret (secret)."""
    cloud_urn: pulumi.Output[str]
    """DigitalOcean's URN, for the project."""

    def __init__(
        self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("payments:index:Storage", name, {}, opts)
        bucket = digitalocean.SpacesBucket(
            f"{name}-bucket",
            region=args.region,
            acl="private",
            force_destroy=not args.protect,
            versioning=digitalocean.SpacesBucketVersioningArgs(enabled=True),
            lifecycle_rules=[
                digitalocean.SpacesBucketLifecycleRuleArgs(
                    enabled=True,
                    expiration=digitalocean.SpacesBucketLifecycleRuleExpirationArgs(
                        days=args.retention_days
                    ),
                    noncurrent_version_expiration=(
                        digitalocean.SpacesBucketLifecycleRuleNoncurrentVersionExpirationArgs(
                            days=VERSIONS_DAYS
                        )
                    ),
                    abort_incomplete_multipart_upload_days=1,
                )
            ],
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect),
        )
        key = digitalocean.SpacesKey(
            f"{name}-key",
            grants=[digitalocean.SpacesKeyGrantArgs(bucket=bucket.name, permission="readwrite")],
            opts=pulumi.ResourceOptions(parent=self, additional_secret_outputs=["secretKey"]),
        )
        self.bucket = bucket.name
        self.endpoint = bucket.endpoint
        self.access_key = pulumi.Output.secret(key.access_key)
        self.secret_key = pulumi.Output.secret(key.secret_key)
        self.cloud_urn = bucket.bucket_urn
        self.register_outputs(
            {
                "bucket": self.bucket,
                "endpoint": self.endpoint,
                "access_key": self.access_key,
                "secret_key": self.secret_key,
                "cloud_urn": self.cloud_urn,
            }
        )
