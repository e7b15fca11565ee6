"""The S3 calls behind a bucket, and their stand-in on paper."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from twin.clouds.digitalocean.common import BUCKET
from twin.protocol.resource import ApiError, Context
from twin.world import WorldError


class Storage(Protocol):
    """What a bucket needs of an object storage. Repeating a call changes nothing."""

    def exists(self, name: str) -> bool:
        """Whether the bucket is there."""

    def create(self, name: str, acl: str) -> None:
        """Make it."""

    def configure(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Set access, versioning, lifecycle and CORS rules to exactly what the inputs say."""

    def delete(self, name: str, *, force: bool) -> None:
        """Remove it; with objects in it only by force."""


class PaperStorage:
    """Buckets that exist in the record only."""

    def __init__(self, ctx: Context) -> None:
        self._store = ctx.store

    def exists(self, name: str) -> bool:
        """As recorded."""
        return self._store.get(BUCKET, name) is not None

    def create(self, name: str, acl: str) -> None:
        """Nothing to make."""

    def configure(self, name: str, inputs: Mapping[str, Any]) -> None:
        """Nothing to set."""

    def delete(self, name: str, *, force: bool) -> None:
        """Nothing to remove."""


class S3Storage:
    """A server that speaks S3."""

    def __init__(self, endpoint: str, access_key: str, secret_key: str) -> None:
        self._s3 = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",  # what Spaces' documentation has its clients sign with
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 3}),
        )

    def exists(self, name: str) -> bool:
        """HEAD the bucket."""
        try:
            self._s3.head_bucket(Bucket=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchBucket"):
                return False
            raise _translated(name, error) from None
        except BotoCoreError as error:
            raise WorldError(f"the object storage does not answer: {error}") from None
        return True

    def create(self, name: str, acl: str) -> None:
        """PUT the bucket; one that an unfinished create left is taken over."""
        if not self.exists(name):
            with _calls(name):
                self._s3.create_bucket(Bucket=name, ACL=acl)

    def configure(self, name: str, inputs: Mapping[str, Any]) -> None:
        """PUT or DELETE each part of the bucket's configuration."""
        with _calls(name):
            self._s3.put_bucket_acl(Bucket=name, ACL=inputs.get("acl", "private"))
            self._versioning(name, bool((inputs.get("versioning") or {}).get("enabled")))
            if rules := [_lifecycle(rule) for rule in inputs.get("lifecycleRules") or ()]:
                self._s3.put_bucket_lifecycle_configuration(
                    Bucket=name, LifecycleConfiguration={"Rules": rules}
                )
            else:
                self._s3.delete_bucket_lifecycle(Bucket=name)
            if cors := [_cors(rule) for rule in inputs.get("corsRules") or ()]:
                self._s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": cors})
            else:
                self._s3.delete_bucket_cors(Bucket=name)

    def delete(self, name: str, *, force: bool) -> None:
        """DELETE the bucket, versions and all if forced."""
        if not self.exists(name):
            return
        with _calls(name):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=name):
                found = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
                if found and not force:
                    raise ApiError(
                        409, f'forceDestroy is false and bucket "{name}": BucketNotEmpty'
                    )
                for entry in found:
                    self._s3.delete_object(
                        Bucket=name, Key=entry["Key"], VersionId=entry["VersionId"]
                    )
            self._s3.delete_bucket(Bucket=name)

    def _versioning(self, name: str, enabled: bool) -> None:
        known = self._s3.get_bucket_versioning(Bucket=name).get("Status")
        if enabled or known:  # once on it can only be suspended
            status = "Enabled" if enabled else "Suspended"
            self._s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": status})


@contextlib.contextmanager
def _calls(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise _translated(name, error) from None
    except BotoCoreError as error:
        raise WorldError(f"the object storage does not answer: {error}") from None


def _translated(name: str, error: ClientError) -> ApiError:
    told = error.response["Error"]
    status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
    return ApiError(status, f'bucket "{name}": {told["Code"]} {told.get("Message", "")}'.rstrip())


def _lifecycle(rule: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Status": "Enabled" if rule["enabled"] else "Disabled",
        "Filter": {"Prefix": rule.get("prefix", "")},
    }
    if rule.get("id"):
        made["ID"] = rule["id"]
    if expiration := rule.get("expiration"):
        names = {
            "date": "Date",
            "days": "Days",
            "expiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
        }
        made["Expiration"] = {
            names[key]: value for key, value in expiration.items() if value not in (None, 0, False)
        }
    if noncurrent := rule.get("noncurrentVersionExpiration"):
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": noncurrent["days"]}
    if days := rule.get("abortIncompleteMultipartUploadDays"):
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made


def _cors(rule: Mapping[str, Any]) -> dict[str, Any]:
    made = {
        "AllowedMethods": rule["allowedMethods"],
        "AllowedOrigins": rule["allowedOrigins"],
        "AllowedHeaders": rule.get("allowedHeaders") or [],
    }
    if rule.get("maxAgeSeconds") is not None:
        made["MaxAgeSeconds"] = rule["maxAgeSeconds"]
    return made
