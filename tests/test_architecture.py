"""The house's rules that code can break: who imports whom, where configuration is read, sizes."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("components", "stacks", "twin", "tools", "app")
MAX_LINES = 400

FORBIDDEN: dict[str, tuple[set[str], str]] = {
    "components": (
        {"stacks", "twin", "tools", "payments", "policy"},
        "a component knows Pulumi and its own arguments; who composes it is not its business",
    ),
    "stacks": (
        {"twin", "tools", "payments", "policy"},
        "the composition must not know what runs it, or it would differ on a laptop",
    ),
    "twin": (
        {"components", "stacks", "tools", "payments", "policy"},
        "the twin speaks protocols only, so that what it accepts was really deployed",
    ),
    "tools": (
        {"components", "stacks", "payments", "policy"},
        "tools start things; they see the program only through the engine",
    ),
    "app": (
        {"components", "stacks", "twin", "tools", "policy", "pulumi"},
        "the service must run anywhere, and the infrastructure must not reach into it",
    ),
}


def _sources(*rooms: str) -> Iterator[Path]:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *rooms],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        path = ROOT / name
        if path.exists():
            yield path


def _python(*rooms: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in _sources(*rooms):
        if path.suffix == ".py":
            yield path, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_its_place_allows(room: str) -> None:
    forbidden, why = FORBIDDEN[room]
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in _python(room)
        for name, line in _imports(tree)
        if name.split(".")[0] in forbidden
    ]
    assert not found, f"{why}: {found}"


def test_only_the_settings_module_reads_pulumi_config() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _python("components", "stacks", "__main__.py")
        if path.parent.name != "stacks" or not path.name.startswith("settings")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "Config"
        and isinstance(node.value, ast.Name)
        and node.value.id == "pulumi"
    ]
    assert not found, f"configuration is parsed once, in stacks/settings: {found}"


def test_components_read_no_environment_and_no_stack_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path, tree in _python("components")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "get_stack", "export"}
    ]
    assert not found, f"a component is told everything by its arguments: {found}"


def test_environments_differ_by_values_never_by_stack_name() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _python("components", "stacks", "__main__.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(
            isinstance(side, ast.Constant) and side.value in {"local", "staging", "prod"}
            for side in (node.left, *node.comparators)
        )
    ]
    assert not found, f"put the difference into Pulumi.<stack>.yaml: {found}"


def test_stacks_create_no_resource_outside_a_component() -> None:
    sdks = {"pulumi_digitalocean", "pulumi_cloudflare", "pulumi_docker", "pulumi_random"}
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, tree in _python("stacks")
        if path.name != "providers.py"
        for name, line in _imports(tree)
        if name.split(".")[0] in sdks
    ]
    assert not found, f"stacks compose; only providers.py touches a provider's SDK: {found}"


def test_the_program_is_under_thirty_lines() -> None:
    lines = (ROOT / "__main__.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 30, "settings, providers, platform, exports: nothing else belongs here"


def test_no_source_file_grows_past_its_limit() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for path in _sources(*ROOMS, "tests", "bench", "policy", "__main__.py")
        if path.suffix in {".py", ".sh", ".js", ".css", ".sql", ".html"}
        and (count := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long, f"split by purpose; {MAX_LINES} lines are what one reads at a sitting: {long}"


def test_every_test_is_collected() -> None:
    for path, tree in _python("tests"):
        names = [
            n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        if any(name.startswith("test_") for name in names):
            assert path.name.startswith("test_"), f"{path}: pytest would never collect it"
            for folder in path.relative_to(ROOT).parents:
                if folder != Path():
                    assert (ROOT / folder / "__init__.py").exists(), (
                        f"{folder} needs an __init__.py, or it shadows a package of the same name"
                    )


def test_workflows_are_pinned_and_least_privileged() -> None:
    import yaml

    for path in _sources(".github/workflows"):
        text = path.read_text(encoding="utf-8")
        workflow = yaml.safe_load(text)
        assert workflow["permissions"] == {}, f"{path.name}: permissions are given per job"
        for name, job in workflow["jobs"].items():
            assert "timeout-minutes" in job, f"{path.name}: job {name} could hang for six hours"
            for step in job.get("steps", []):
                uses = step.get("uses", "@" + "0" * 40)
                sha = uses.rpartition("@")[2]
                assert len(sha) == 40, f"{path.name}: {uses} is not pinned to a commit"
        assert "pull_request_target" not in text, "it hands a fork's code the repository's secrets"
