from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.conftest import Screen
from tools import report
from tools.changes import Change, at, changes
from tools.errors import ToolError

_URN = "urn:pulumi:prod::payments::payments:index:Database${}::{}"


def _step(
    op: str, token: str, name: str, *, old: dict[str, Any] | None = None,
    new: dict[str, Any] | None = None, diff: dict[str, str] | None = None, protect: bool = False,
) -> dict[str, Any]:  # fmt: skip
    return {
        "op": op,
        "urn": _URN.format(token, name),
        "oldState": {"inputs": old or {}, "protect": protect},
        "newState": {"inputs": new or {}},
        "detailedDiff": {path: {"kind": kind} for path, kind in (diff or {}).items()},
    }


_CLUSTER = "digitalocean:index/databaseCluster:DatabaseCluster"
_RECORD = "cloudflare:index/dnsRecord:DnsRecord"


def test_a_replacement_is_one_change_with_the_property_that_forces_it() -> None:
    old, new = {"region": "fra1", "size": "a"}, {"region": "ams3", "size": "b"}
    diff = {"region": "update-replace", "size": "update"}
    steps = [
        _step(op, _CLUSTER, "db", old=old, new=new, diff=diff)
        for op in ("create-replacement", "replace", "delete-replaced")
    ]
    (change,) = changes({"steps": steps})
    assert change.action == "replace"
    assert change.causes == ("region: fra1 → ams3",), "what only changes along is not the cause"
    assert change.attention == "its data is lost unless restored from a backup"


def test_what_loses_something_comes_first() -> None:
    steps = [
        _step("create", _RECORD, "a"),
        _step("update", _RECORD, "b", old={"ttl": 1}, new={"ttl": 60}, diff={"ttl": "update"}),
        _step("same", _RECORD, "c"),
        _step("delete", "digitalocean:index/tag:Tag", "d"),
        _step("delete", _CLUSTER, "e", protect=True),
        _step("create", "payments:index:Database", "component"),
        _step("create", "pulumi:providers:docker", "provider"),
    ]
    found = changes({"steps": steps})
    assert [(it.action, it.label.split()[-1]) for it in found] == [
        ("delete", "e"), ("delete", "d"), ("update", "b"), ("create", "a"),
    ]  # fmt: skip
    assert found[0].attention.startswith("it is protected, the update will stop here; its data")
    assert found[1].attention == ""


@pytest.mark.parametrize(
    "secret",
    [
        "sk_live_51Habc", "whsec_abcdef", "dop_v1_0123", "postgresql://app:hunter2@db:25060/x",
        "-----BEGIN OPENSSH PRIVATE KEY-----", "v1:a/L4VcyPe77AeDBf:716/QpRm4bdIv8N5BdJUYI",
    ],
)  # fmt: skip
def test_a_credential_that_nobody_marked_is_not_published(secret: str) -> None:
    step = _step("update", _RECORD, "r", old={"content": f"x {secret} y"}, new={"content": "z"},
                 diff={"content": "update"})  # fmt: skip
    text = report.render("prod", changes({"steps": [step]}), [], "")
    assert secret not in text
    assert "[secret]" in text


def test_what_goes_with_another_resource_says_so() -> None:
    follows = _step("replace", "docker:index/network:Network", "n")
    follows["replaceReasons"] = ["replaceWith"]
    old = {"memory": 320, "image": "a", "attach": False}
    new = {"memory": 384, "image": "a"}
    silent = _step("replace", "docker:index/container:Container", "c", old=old, new=new)
    container, network = changes({"steps": [follows, silent]})
    assert network.causes == ("goes with what it stands on",)
    assert container.causes == ("memory: 320 → 384",), "where the engine names no reason"


def test_the_terminal_shows_values_as_they_are(screen: Screen) -> None:
    change = Change(
        action="update", label="r", causes=('urns: ["do:droplet:1"] → [b]',), attention=""
    )
    report._show(screen.ui, "prod", [change], [])
    assert change.causes[0] in screen.text, "not as emoji, not as mark-up"


def test_values_that_are_not_known_yet_say_so() -> None:
    unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    step = _step("update", _RECORD, "r", old={"content": "a"}, new={"content": unknown},
                 diff={"content": "update"})  # fmt: skip
    (change,) = changes({"steps": [step]})
    assert change.causes == ("content: a → (known after the update)",)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ports[1].internal", 80),
        ('labels["a.b"]', "x"),
        ("ports[9].internal", None),
        ("ports.internal", None),
        ("missing", None),
    ],
)
def test_a_property_path_is_followed(path: str, expected: object) -> None:
    value = {"ports": [{}, {"internal": 80}], "labels": {"a.b": "x"}}
    assert at(value, path) == expected


def test_the_headline_counts_and_marks_what_is_dangerous() -> None:
    found = [
        Change(action=action, label="x", causes=(), attention="")
        for action in ("create", "create", "replace")
    ]
    assert report.headline("prod", found) == (
        "prod: 2 to create, 0 to update, **1 to replace**, 0 to delete"
    )
    assert report.headline("prod", []) == "prod: no changes"


def test_a_comment_is_found_again_by_its_marker() -> None:
    assert report.render("prod", [], [], "").startswith("<!-- payments-platform: report prod -->")
    failed = report.failure("prod", ToolError("The preview failed.", details="```\nboom"))
    assert failed.startswith("<!-- payments-platform: report prod -->")
    assert failed.count("```") == 2, "what a program says must not end its own box"


_ODD = st.text(alphabet=st.characters(codec="utf-8"), max_size=30)


@given(
    st.lists(
        st.builds(
            Change,
            action=st.sampled_from(["create", "update", "replace", "delete"]),
            label=_ODD,
            causes=st.lists(_ODD, max_size=9).map(tuple),
            attention=_ODD,
        ),
        max_size=12,
    ),
    st.lists(_ODD, max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_no_name_breaks_out_of_its_place(found: list[Change], notes: list[str]) -> None:
    text = report.render("prod", found, notes, "main")
    for line in text.splitlines():
        if line.startswith("| ") and "resource" not in line and "---" not in line:
            assert line.count("|") == 4, f"a cell of its own: {line}"
    outside = re.sub(r"(?<!\\)`[^`]*`", "", text)
    assert "@" not in outside, "nobody is notified"


def test_a_huge_change_still_fits_into_a_comment_and_says_what_it_leaves_out() -> None:
    found = [
        Change(action=action, label=f"r{i} " + "x" * 100, causes=("y" * 120,) * 8, attention="")
        for i in range(400)
        for action in ("update", "create")
    ]
    text = report.render("prod", found, [], "main")
    assert len(text) <= report.LIMIT
    assert 2 * report.LIMIT < 65_536, "two stacks share one comment"
    assert " more | |" in text
    assert text.rstrip().endswith("</details>")
