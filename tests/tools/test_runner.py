"""The engine is a script here that says what the real one was seen to say."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.tools.conftest import Fake, Screen
from tools.engine.installed import Engine
from tools.engine.versions import ENGINE
from tools.errors import ToolError
from tools.events import Follower, label
from tools.runner import Runner
from tools.state import State

_STACK = "urn:pulumi:local::payments::pulumi:pulumi:Stack::payments-local"
_DROPLET = (
    "urn:pulumi:local::payments::payments:index:Host$digitalocean:index/droplet:Droplet::web-1"
)


def _event(**parts: object) -> str:
    return json.dumps({"sequence": 0, "timestamp": 0, **parts})


def _pre(urn: str, op: str) -> str:
    return _event(resourcePreEvent={"metadata": {"op": op, "urn": urn, "type": ""}})


def _outputs(urn: str, op: str, outputs: dict[str, object] | None = None) -> str:
    new = {"outputs": outputs or {}}
    return _event(resOutputsEvent={"metadata": {"op": op, "urn": urn, "new": new}})


def _error(message: str, urn: str = "") -> str:
    diagnostic = {"message": message, "severity": "error", "color": "never"}
    return _event(diagnosticEvent={**diagnostic, **({"urn": urn} if urn else {})})


_SUMMARY = _event(summaryEvent={"resourceChanges": {"create": 2, "same": 5}, "result": "succeeded"})


@pytest.fixture
def runner(fake: Fake, tmp_path: Path) -> Runner:
    pulumi = fake("pulumi", "exit 0")
    (tmp_path / "passphrase").touch()
    return Runner(
        engine=Engine(folders=(pulumi.parent,), version=ENGINE, origin="here"),
        folder=tmp_path,
        stack="local",
        providers="random:1",
        passphrase_file=tmp_path / "passphrase",
    )


def _says(fake: Fake, tmp_path: Path, lines: list[str], code: int) -> None:
    (tmp_path / "events").write_text("\n".join(lines) + "\n")
    fake("pulumi", f"cat '{tmp_path}/events'; exit {code}")


def test_an_update_is_shown_and_counted(
    runner: Runner, fake: Fake, tmp_path: Path, screen: Screen
) -> None:
    lines = [
        _pre(_STACK, "create"),
        _pre(_DROPLET, "create"),
        _outputs(_DROPLET, "create"),
        _outputs(_STACK, "create", {"url": "https://pay.payments.localhost:8443"}),
        _SUMMARY,
    ]
    _says(fake, tmp_path, lines, 0)
    with screen.ui.phase("Deploy") as phase:
        follower = runner.follow("up", phase=phase, log=tmp_path / "logs" / "up.ndjson")
    assert "created       digitalocean Droplet web-1" in screen.text
    assert "Stack" not in screen.text, "a component is done when its children are"
    assert follower.summary() == "2 created, 5 unchanged"
    assert follower.changed() == 2
    assert follower.outputs["url"].endswith(":8443")
    assert (tmp_path / "logs" / "up.ndjson").read_text().splitlines() == lines


def test_a_failure_names_the_resource_the_reason_and_what_to_do(
    runner: Runner, fake: Fake, tmp_path: Path, screen: Screen
) -> None:
    failed = {"metadata": {"op": "create", "urn": _DROPLET}, "status": 0, "steps": 0}
    lines = [
        _pre(_DROPLET, "create"),
        _event(resOpFailedEvent=failed),
        _error("sdk.helper: 422 no space left on device\n", _DROPLET),
        _error("update failed\n", _STACK),
        _SUMMARY,
    ]
    _says(fake, tmp_path, lines, 255)
    with pytest.raises(ToolError) as caught, screen.ui.phase("Deploy") as phase:
        runner.follow("up", phase=phase, log=tmp_path / "up.ndjson")
    assert caught.value.message == "pulumi up failed at digitalocean Droplet web-1."
    assert caught.value.details == (
        "digitalocean Droplet web-1: sdk.helper: 422 no space left on device"
    ), "the engine's echo of a failure explains nothing"
    assert "df -h" in caught.value.remedy
    assert str(tmp_path / "up.ndjson") in caught.value.remedy
    assert "FAILED" in screen.text


def test_an_engine_that_dies_without_an_event_is_quoted(
    runner: Runner, fake: Fake, tmp_path: Path, screen: Screen
) -> None:
    fake("pulumi", "echo 'error: the stack is currently locked by 1 lock(s)' >&2; exit 255")
    with pytest.raises(ToolError) as caught, screen.ui.phase("Deploy") as phase:
        runner.follow("up", phase=phase, log=tmp_path / "up.ndjson")
    assert "currently locked" in caught.value.details


def test_nobody_s_cloud_is_reached_from_here(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DIGITALOCEAN_TOKEN", "CLOUDFLARE_API_TOKEN", "AWS_SECRET_ACCESS_KEY",
                 "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PYTHONPATH"):  # fmt: skip
        monkeypatch.setenv(name, "a person's")
    environment = runner.environment()
    assert "a person's" not in environment.values()
    assert environment["PULUMI_BACKEND_URL"].startswith("file://")
    assert environment["PATH"].split(os.pathsep)[0].endswith(".venv/bin"), (
        "the older language host finds the program's packages by PATH"
    )


def test_the_same_reason_is_told_once_and_colours_are_dropped() -> None:
    follower = Follower(lambda text: None)
    for _ in range(3):
        follower.line(_error("\x1b[31mno\x1b[0m <{%reset%}>way\n", _DROPLET))
    assert [it.reason for it in follower.failures] == ["no way"]


def test_what_is_under_way_is_told_longest_first() -> None:
    follower = Follower(lambda text: None)
    for index in range(5):
        follower.line(_pre(_DROPLET.replace("web-1", f"web-{index}"), "create"))
    assert follower.busy().startswith("digitalocean Droplet web-0 0 s, ")
    assert follower.busy().endswith("and 2 more")


@pytest.mark.parametrize(
    ("urn", "expected"),
    [
        (_DROPLET, "digitalocean Droplet web-1"),
        ("urn:pulumi:s::p::payments:index:Host::h", "Host h"),
        ("urn:pulumi:s::p::random:index/randomId:RandomId::a::b", "random RandomId a::b"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_urn_has_a_short_name(urn: str, expected: str) -> None:
    assert label(urn) == expected


# --- the state file -------------------------------------------------------------------------------


def _write_state(folder: Path, latest: object) -> State:
    state = State(folder, "local")
    state.path.parent.mkdir(parents=True)
    state.path.write_text(json.dumps({"version": 3, "checkpoint": {"latest": latest}}))
    return state


def test_what_the_engine_knows_is_what_must_be_kept(tmp_path: Path) -> None:
    state = _write_state(
        tmp_path,
        {
            "resources": [
                {"urn": _STACK, "custom": False, "type": "pulumi:pulumi:Stack",
                 "outputs": {"url": "u"}},
                {"custom": True, "type": "digitalocean:index/droplet:Droplet", "id": "7"},
                {"custom": True, "type": "digitalocean:index/droplet:Droplet", "id": "6",
                 "delete": True},
                {"custom": True, "type": "random:index/randomId:RandomId", "id": ""},
            ],
            "pending_operations": [{"type": "creating"}],
        },
    )  # fmt: skip
    assert list(state.known_ids()) == [
        ("digitalocean:index/droplet:Droplet", "7"),
        ("digitalocean:index/droplet:Droplet", "6"),
    ], "one that waits for its deletion is still the engine's to delete"
    assert state.outputs() == {"url": "u"}
    assert len(state.pending()) == 1


def test_an_empty_and_a_missing_state_know_nothing(tmp_path: Path) -> None:
    assert State(tmp_path, "local").resources() == []
    assert _write_state(tmp_path, None).resources() == []


def test_a_damaged_state_says_where_its_backups_are(tmp_path: Path) -> None:
    state = _write_state(tmp_path, {})
    state.path.write_text('{"half')
    with pytest.raises(ToolError) as caught:
        state.resources()
    assert ".pulumi/backups" in caught.value.remedy


def test_a_lock_that_a_killed_engine_left_is_seen(runner: Runner) -> None:
    folder = runner.folder / "state" / ".pulumi" / "locks" / "organization" / "payments" / "local"
    assert runner.is_locked() is False
    folder.mkdir(parents=True)
    assert runner.is_locked() is False, "the folder stays when the lock goes"
    (folder / "6d7c.json").touch()
    assert runner.is_locked() is True
