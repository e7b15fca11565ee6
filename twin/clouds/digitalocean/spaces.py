"""Object storage: buckets through the S3 protocol, keys with their grants.

Rules: terraform-provider-digitalocean spaces/resource_spaces_{bucket,key}.go, Spaces limits page.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterable, Iterator

from twin.clouds.births import birth, forget
from twin.clouds.digitalocean import common
from twin.clouds.digitalocean.catalog import catalog
from twin.clouds.digitalocean.storage import PaperStorage, S3Storage, Storage
from twin.clouds.rules import items, known, now, unset
from twin.protocol.resource import ApiError, Context, Created, Failure, Props, Resource

_BUCKET_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]")
_KEY_NAME = re.compile(r"[a-zA-Z0-9_.\-]{1,255}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


class SpacesBucket(Resource):
    """A bucket. It needs S3 credentials of its own, and its name can never change."""

    token = common.BUCKET

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        yield from common.region_failures(inputs, catalog().spaces_regions)
        name = known(inputs, "name")
        if name is not None and not _BUCKET_NAME.fullmatch(name):
            yield Failure(
                "name",
                f'"{name}" must be 3 to 63 lower-case letters, digits and "-", '
                "with a letter or digit at both ends",
            )
        for index, rule in items(inputs, "lifecycleRules"):
            yield from _lifecycle_failures(f"lifecycleRules[{index}]", rule)

    def create(self, ctx: Context, inputs: Props) -> Created:
        region, name = inputs["region"], inputs["name"]
        storage = _storage(ctx, region)
        if ctx.store.get(self.token, name) is not None:
            raise ApiError(409, f'name "{name}": BucketAlreadyExists, names are unique everywhere')
        storage.create(name, inputs["acl"])
        storage.configure(name, inputs)
        return Created(id=name, outputs=self._outputs(inputs))

    def read(self, ctx: Context, id: str, outputs: Props) -> Props | None:
        return outputs if _storage(ctx, outputs["region"]).exists(id) else None

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        if news["name"] != id:
            # The real provider takes this, renames nothing and loses track of the bucket.
            raise ApiError(
                422, f'name "{news["name"]}": a bucket cannot be renamed, this one is "{id}"'
            )
        _storage(ctx, news["region"]).configure(id, news)
        return self._outputs(news)

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        storage = _storage(ctx, outputs["region"])
        storage.delete(id, force=bool(outputs.get("forceDestroy")))

    def _outputs(self, inputs: Props) -> Props:
        endpoint = f"{inputs['region']}.digitaloceanspaces.com"
        return {
            **inputs,
            "bucketDomainName": f"{inputs['name']}.{endpoint}",
            "endpoint": endpoint,
            "bucketUrn": f"do:space:{inputs['name']}",
        }


class SpacesKey(Resource):
    """An S3 key with its grants; the secret is answered once, when it is made."""

    token = common.SPACES_KEY

    def validate(self, ctx: Context, inputs: Props) -> Iterable[Failure]:
        name = known(inputs, "name")
        if name is not None and not _KEY_NAME.fullmatch(name):
            yield Failure("name", f'"{name}" may hold letters, digits, "_", "." and "-" only')
        for index, grant in items(inputs, "grants"):
            bucket, permission = known(grant, "bucket"), known(grant, "permission")
            if bucket is None or permission is None:
                continue
            path = f"grants[{index}].bucket"
            if permission == "fullaccess" and bucket:
                yield Failure(path, f'"{bucket}" must be "" for "fullaccess", which is for all')
            if permission in ("read", "readwrite") and not bucket:
                yield Failure(path, f'"" must name a bucket for "{permission}"')

    def create(self, ctx: Context, inputs: Props) -> Created:
        _refuse_unknown_buckets(ctx, inputs)
        with birth(ctx, self.token, inputs["name"], _access_key) as id:
            kept = f"spaces secret {id}"
            secret = ctx.store.load("digitalocean", kept) or secrets.token_urlsafe(32)
            ctx.store.save("digitalocean", kept, secret)
            ctx.world.set_spaces_key(id, secret, _grants(inputs))
        outputs = {**inputs, "accessKey": id, "secretKey": secret, "createdAt": now()}
        return Created(id=id, outputs=outputs)

    def update(self, ctx: Context, id: str, outputs: Props, news: Props) -> Props:
        _refuse_unknown_buckets(ctx, news)
        ctx.world.set_spaces_key(id, outputs["secretKey"], _grants(news))
        fixed = ("accessKey", "secretKey", "createdAt")
        return {**news, **{name: outputs[name] for name in fixed}}

    def delete(self, ctx: Context, id: str, outputs: Props) -> None:
        ctx.world.delete_spaces_key(id)
        ctx.store.drop("digitalocean", f"spaces secret {id}")
        forget(ctx, self.token, id)


def _refuse_unknown_buckets(ctx: Context, inputs: Props) -> None:
    for grant in inputs.get("grants") or ():
        if grant["bucket"] and ctx.store.get(common.BUCKET, grant["bucket"]) is None:
            raise ApiError(404, f'grants: bucket "{grant["bucket"]}" does not exist')


def _grants(inputs: Props) -> dict[str, str]:
    return {grant["bucket"]: grant["permission"] for grant in inputs.get("grants") or ()}


def _access_key() -> str:
    """`DO` and 18 capital letters and digits."""
    return "DO" + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(18))


def _lifecycle_failures(path: str, rule: Props) -> Iterator[Failure]:
    if unset(rule, "expiration") and unset(rule, "noncurrentVersionExpiration"):
        yield Failure(path, "needs expiration or noncurrentVersionExpiration")
    expiration = known(rule, "expiration") or {}
    date, days = known(expiration, "date"), known(expiration, "days")
    if date is not None and not _DATE.fullmatch(date):
        yield Failure(f"{path}.expiration.date", f'"{date}" is no date of the form YYYY-MM-DD')
    if days is not None and days < 0:
        yield Failure(f"{path}.expiration.days", f"{days} is less than 0")
    noncurrent = known(known(rule, "noncurrentVersionExpiration") or {}, "days")
    if noncurrent is not None and noncurrent < 1:
        yield Failure(f"{path}.noncurrentVersionExpiration.days", f"{noncurrent} is less than 1")
    name = known(rule, "id")
    if name is not None and len(name) > 255:
        yield Failure(f"{path}.id", f"has {len(name)} characters, 255 is the limit")


def _storage(ctx: Context, region: str) -> Storage:
    """The object storage of a region for whom the provider's credentials allow it."""
    access, secret = ctx.config.get("spacesAccessId"), ctx.config.get("spacesSecretKey")
    if not access or not secret:
        raise ApiError(403, "spacesAccessId, spacesSecretKey: Spaces credentials not configured")
    account = ctx.account.get("digitalocean", {})
    owner = (account.get("spaces_access_id"), account.get("spaces_secret_key"))
    key = ctx.store.get(common.SPACES_KEY, access)
    full = key is not None and any(
        grant["permission"] == "fullaccess" for grant in key.outputs.get("grants") or ()
    )
    if (access, secret) != owner and not (full and key and key.outputs["secretKey"] == secret):
        raise ApiError(403, f'spacesAccessId "{access}": AccessDenied, or the secret is wrong')
    if getattr(ctx.world, "paper", False):
        return PaperStorage(ctx)
    if (access, secret) == owner:
        # The account's own key was there before any resource: the storage has to know it too.
        ctx.world.set_spaces_key(access, secret, {"": "fullaccess"})
    return S3Storage(ctx.world.spaces_endpoint(region), access, secret)
