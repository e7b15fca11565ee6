"""The three stacks by the real engine: up, nothing to do, refreshed, changed, destroyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stacks import stackfiles
from tests.stacks.rehearsal import Paper, Rehearsal
from tests.stacks.stackfiles import STACKS
from tests.twin.conftest import engine_path

NEW_IMAGE = "registry.example.com/acme/payments@sha256:" + "12" * 32


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    if engine_path() is None:
        pytest.skip("no Pulumi engine: neither PULUMI_BIN_DIR nor PATH nor the cache has one")
    twin = Paper(tmp_path_factory.mktemp("paper") / "home")
    yield twin
    twin.stop()


@pytest.fixture(scope="module")
def rehearsals(paper: Paper, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rehearsal]:
    binaries = engine_path()
    assert binaries is not None
    folder = tmp_path_factory.mktemp("stacks")
    return {stack: Rehearsal(folder / stack, stack, binaries, paper) for stack in STACKS}


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest, rehearsals: dict[str, Rehearsal]) -> Rehearsal:
    return rehearsals[str(request.param)]


@pytest.fixture
def staging(rehearsals: dict[str, Rehearsal]) -> Rehearsal:
    return rehearsals["staging"]


# The tests of this file are one story per stack and run in the order they stand.
def test_a_stack_comes_up_at_once(stack: Rehearsal) -> None:
    done = stack.up()
    assert done.code == 0, done.output
    assert {operation for operation, _ in done.steps} == {"create"}
    assert "warning" not in done.output, done.output
    assert stack.outputs()["url"].startswith("https://pay.")


def test_a_second_update_and_a_refresh_find_nothing_to_do(stack: Rehearsal) -> None:
    done = stack.up("--refresh", "--expect-no-changes")
    assert done.code == 0, done.output
    assert done.steps == [], "an update that always changes something hides a real change"


def test_no_secret_lies_readable_in_the_state(stack: Rehearsal) -> None:
    state = str(stack.resources())
    config = stackfiles.read(stack.stack)
    for key in config.secrets:
        assert str(config.values[key]) not in state, f"{key} stands in the state as plain text"


def test_a_release_replaces_containers_and_nothing_else(staging: Rehearsal) -> None:
    staging.configure(staging.settings.changed("payments:app.image", NEW_IMAGE))
    done = staging.preview()
    assert done.code == 0, done.output
    prefix = "payments-staging-host-0-containers"
    replaced = done.named("replace")
    assert {f"{prefix}-api-0", f"{prefix}-api-1", f"{prefix}-worker"} <= replaced
    assert "payments-staging-release-migrate" in replaced, "the migration must run again"
    kept = {"-pg", "-kv", "-db", "-bucket", "host-0", "-tunnel", f"{prefix}-gateway"}
    assert not [name for name in replaced if any(name.endswith(end) for end in kept)]
    first_gone = next(i for i, (op, _) in enumerate(done.steps) if op == "delete-replaced")
    last_made = max(i for i, (op, _) in enumerate(done.steps) if op == "create-replacement")
    assert last_made < first_gone, "the old release must serve until the new one does"


def test_a_new_droplet_is_ready_before_the_old_one_goes(staging: Rehearsal) -> None:
    staging.configure(staging.settings.changed("payments:host.image", "ubuntu-24-04-x64"))
    done = staging.preview()
    assert done.code == 0, done.output
    replaced = done.named("replace")
    droplet = "payments-staging-host-0"
    assert {droplet, f"{droplet}-ready", f"{droplet}-runtime-service"} <= replaced
    assert f"{droplet}-containers-gateway" in replaced, "it would be looked for on the new machine"
    assert f"{droplet}-assignment" in replaced
    assert f"{droplet}-address" not in replaced, "the reserved address is what stays"
    assert not [name for name in replaced if "database" in name and "prepare" not in name]
    order = [(operation, name) for operation, name in done.steps if name == droplet]
    made = done.steps.index(("create-replacement", f"{droplet}-containers-connector"))
    assert ("delete-replaced", droplet) in order
    assert made < done.steps.index(("delete-replaced", droplet)), (
        "visitors would find nobody between the two droplets"
    )


def test_a_wrong_setting_is_a_list_and_not_a_stack_trace(staging: Rehearsal) -> None:
    staging.configure(
        staging.settings.changed("payments:region", "mars1").changed("payments:host.count", 0)
    )
    done = staging.preview()
    assert done.code != 0
    assert "Pulumi.staging.yaml: 2 settings are wrong" in done.output
    assert "Traceback" not in done.output
    staging.configure(staging.settings)


def test_a_protected_stack_is_not_destroyed_by_a_slip(rehearsals: dict[str, Rehearsal]) -> None:
    prod = rehearsals["prod"]
    done = prod.destroy()
    assert done.code != 0
    left = {entry["urn"].rpartition("::")[2] for entry in prod.resources()}
    assert {"payments-prod-database-pg", "payments-prod-storage-bucket"} <= left


def test_destroying_a_stack_leaves_nothing(stack: Rehearsal) -> None:
    stack.unprotect()
    done = stack.destroy()
    assert done.code == 0, done.output
    assert stack.resources() == []


def test_every_file_in_the_folder_is_a_stack_of_this_list(tmp_path: Path) -> None:
    files = {file.name for file in stackfiles.ROOT.glob("Pulumi.*.yaml")}
    assert files == {f"Pulumi.{stack}.yaml" for stack in STACKS}, "a stack would go untested"
