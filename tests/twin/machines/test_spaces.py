"""Object storage through the official SDK: keys, grants, and nothing lost by a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.exceptions import ClientError

from twin.machines.spaces import Spaces
from twin.machines.spaces.journal import Journal
from twin.store import Store
from twin.world import WorldError

Client = Any


class _Storage:
    """A server that can be restarted, and clients of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(folder / "twin.db")
        self.server = Spaces(folder / "spaces", self.store)
        self.server.start()
        self.server.set_key("ADMIN", "admin-secret", {"": "fullaccess"})

    def restart(self) -> None:
        self.server.stop()
        self.server = Spaces(self.folder / "spaces", self.store)
        self.server.start()

    def client(self, key: str = "ADMIN", secret: str = "admin-secret") -> Client:
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint("nyc3"),
            region_name="nyc3",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            config=Config(
                s3={"addressing_style": "path"},
                retries={"max_attempts": 1},
                signature_version="s3v4",
            ),
        )

    def entries(self) -> int:
        return len(list(Journal(self.folder / "spaces" / "journal")))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[_Storage]:
    made = _Storage(tmp_path)
    yield made
    made.server.stop()


def _code(call: Callable[[], object]) -> str:
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def test_an_unknown_key_and_a_wrong_secret_are_told_apart_as_on_spaces(storage: _Storage) -> None:
    assert _code(storage.client(key="NOBODY").list_buckets) == "InvalidAccessKeyId"
    assert _code(storage.client(secret="wrong").list_buckets) == "SignatureDoesNotMatch"


def test_a_revoked_key_is_unknown_at_once(storage: _Storage) -> None:
    storage.server.set_key("TEMP", "s", {"": "fullaccess"})
    storage.client("TEMP", "s").list_buckets()
    storage.server.delete_key("TEMP")
    assert _code(storage.client("TEMP", "s").list_buckets) == "InvalidAccessKeyId"


def test_an_unsigned_request_gets_nothing(storage: _Storage) -> None:
    assert (
        requests.get(storage.server.endpoint("nyc3") + "/backups/a", timeout=5).status_code == 403
    )


def test_grants_are_per_bucket_and_per_kind_of_request(storage: _Storage) -> None:
    admin = storage.client()
    for bucket in ("backups", "exports"):
        admin.create_bucket(Bucket=bucket)
        admin.put_object(Bucket=bucket, Key="old", Body=b"x")
    storage.server.set_key("WRITER", "w", {"backups": "readwrite"})
    storage.server.set_key("READER", "r", {"backups": "read"})
    writer, reader = storage.client("WRITER", "w"), storage.client("READER", "r")

    writer.put_object(Bucket="backups", Key="new", Body=b"y")
    writer.delete_object(Bucket="backups", Key="old")
    assert reader.get_object(Bucket="backups", Key="new")["Body"].read() == b"y"
    assert [item["Key"] for item in reader.list_objects_v2(Bucket="backups")["Contents"]] == ["new"]

    denied: list[Callable[[], object]] = [
        lambda: reader.put_object(Bucket="backups", Key="z", Body=b"z"),
        lambda: reader.delete_object(Bucket="backups", Key="new"),
        lambda: writer.get_object(Bucket="exports", Key="old"),
        lambda: writer.delete_bucket(Bucket="backups"),
        lambda: writer.create_bucket(Bucket="mine"),
        lambda: writer.copy_object(
            Bucket="backups", Key="stolen", CopySource={"Bucket": "exports", "Key": "old"}
        ),
        lambda: writer.put_bucket_versioning(
            Bucket="backups", VersioningConfiguration={"Status": "Suspended"}
        ),
    ]
    assert [_code(call) for call in denied] == ["AccessDenied"] * len(denied)


def test_a_grant_that_does_not_exist_is_refused(storage: _Storage) -> None:
    with pytest.raises(WorldError, match="write"):
        storage.server.set_key("K", "s", {"backups": "write"})


def test_objects_versions_and_times_outlive_a_restart(storage: _Storage) -> None:
    client = storage.client()
    client.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "nyc3"})
    client.put_bucket_versioning(Bucket="backups", VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket="backups", Key="a b/ü", Body=b"one", Metadata={"k": "v"})
    second = client.put_object(Bucket="backups", Key="a b/ü", Body=b"two" * 100_000)
    before = client.list_object_versions(Bucket="backups")["Versions"]

    storage.restart()
    client = storage.client()
    assert client.list_object_versions(Bucket="backups")["Versions"] == before
    assert client.get_object(Bucket="backups", Key="a b/ü")["Body"].read() == b"two" * 100_000
    old = client.get_object(Bucket="backups", Key="a b/ü", VersionId=first["VersionId"])
    assert (old["Body"].read(), old["Metadata"]) == (b"one", {"k": "v"})
    assert second["VersionId"] != first["VersionId"]
    assert client.get_bucket_location(Bucket="backups")["LocationConstraint"] == "nyc3"


def test_an_upload_in_parts_goes_on_after_a_restart(storage: _Storage) -> None:
    client = storage.client()
    client.create_bucket(Bucket="backups")
    upload = client.create_multipart_upload(Bucket="backups", Key="dump")["UploadId"]
    where = {"Bucket": "backups", "Key": "dump", "UploadId": upload}
    part = b"p" * (5 * 1024 * 1024)
    one = client.upload_part(**where, PartNumber=1, Body=part)["ETag"]
    storage.restart()
    client = storage.client()
    two = client.upload_part(**where, PartNumber=2, Body=b"end")["ETag"]
    parts = [{"PartNumber": 1, "ETag": one}, {"PartNumber": 2, "ETag": two}]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    storage.restart()
    assert storage.client().get_object(Bucket="backups", Key="dump")["Body"].read() == part + b"end"


def test_what_is_gone_leaves_nothing_on_disk(storage: _Storage) -> None:
    client = storage.client()
    client.create_bucket(Bucket="exports")
    for _ in range(5):
        client.put_object(Bucket="exports", Key="report", Body=b"x" * 1000)
    assert storage.entries() == 2, "the bucket and the last write; the others are void"
    client.delete_object(Bucket="exports", Key="report")
    client.delete_bucket(Bucket="exports")
    assert storage.entries() == 0
    storage.restart()
    assert storage.client().list_buckets()["Buckets"] == []


def test_a_copy_outlives_what_it_was_copied_from(storage: _Storage) -> None:
    client = storage.client()
    client.create_bucket(Bucket="exports")
    client.put_object(Bucket="exports", Key="a", Body=b"first")
    client.copy_object(Bucket="exports", Key="b", CopySource={"Bucket": "exports", "Key": "a"})
    client.put_object(Bucket="exports", Key="a", Body=b"second")
    client.delete_object(Bucket="exports", Key="a")
    storage.restart()
    client = storage.client()
    assert client.get_object(Bucket="exports", Key="b")["Body"].read() == b"first"
    assert _code(lambda: client.get_object(Bucket="exports", Key="a")) == "NoSuchKey"


def test_a_presigned_link_works_and_a_changed_one_does_not(storage: _Storage) -> None:
    client = storage.client()
    client.create_bucket(Bucket="exports")
    client.put_object(Bucket="exports", Key="r.csv", Body=b"1,2")
    link = client.generate_presigned_url(
        "get_object", Params={"Bucket": "exports", "Key": "r.csv"}, ExpiresIn=60
    )
    assert requests.get(link, timeout=5).content == b"1,2"
    assert requests.get(link.replace("r.csv", "other.csv"), timeout=5).status_code == 403


def test_erasing_leaves_no_bucket_and_no_key(storage: _Storage) -> None:
    storage.client().create_bucket(Bucket="exports")
    storage.server.erase()
    storage.restart()
    assert _code(storage.client().list_buckets) == "InvalidAccessKeyId"
    storage.server.set_key("ADMIN", "admin-secret", {"": "fullaccess"})
    assert storage.client().list_buckets()["Buckets"] == []
