"""Object storage: private, versioned, opened by one key."""

from __future__ import annotations

import pytest

from components.storage import Storage, StorageArgs
from tests.components.fakes import built
from tests.recorder import is_secret

ARGS = StorageArgs(region="fra1", retention_days=35, protect=True)


def test_a_bucket_that_forgets_at_once_is_refused() -> None:
    with pytest.raises(ValueError, match="retention_days=0"):
        StorageArgs(region="fra1", retention_days=0, protect=True)


def test_the_bucket_is_private_versioned_and_forgets_in_time() -> None:
    bucket = built(lambda: Storage("s", ARGS))[0].one(":SpacesBucket")
    assert bucket.inputs["acl"] == "private"
    assert bucket.inputs["versioning"] == {"enabled": True}
    (rule,) = bucket.inputs["lifecycleRules"]
    assert rule["expiration"] == {"days": 35}
    assert rule["noncurrentVersionExpiration"]["days"] > 0, "versions would pile up for ever"
    assert "name" not in bucket.inputs, "the provider never renames a bucket"


def test_what_is_protected_is_not_emptied() -> None:
    bucket = built(lambda: Storage("s", ARGS))[0].one(":SpacesBucket")
    assert bucket.inputs["forceDestroy"] is False
    assert bucket.options.protect


def test_the_key_opens_this_bucket_and_nothing_else() -> None:
    record, made = built(lambda: Storage("s", ARGS))
    bucket = record.one(":SpacesBucket").outputs["name"]
    assert record.one(":SpacesKey").inputs["grants"] == [
        {"bucket": bucket, "permission": "readwrite"}
    ]
    assert is_secret(made.secret_key)
    assert is_secret(made.access_key)
