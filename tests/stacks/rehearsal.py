"""The real engine on the real program, against a twin on paper: what a deployment would do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.stacks import stackfiles
from tests.stacks.stackfiles import ROOT, STACKS, StackConfig
from tools import stackfile
from tools.instance import addons
from tools.passphrase import Crypter

PASSPHRASE: Final = "a passphrase for rehearsals"
QUIET: Final = {"same", "read", "refresh"}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of the engine: its exit code, its text, and the steps that change something."""

    code: int
    output: str
    steps: list[tuple[str, str]]
    """Operation and resource name, in order."""
    times: list[int]
    """The second in which each of them began."""

    def when(self, operation: str, ending: str) -> int:
        """The second in which the first such step began."""
        return next(
            second
            for (done, name), second in zip(self.steps, self.times, strict=True)
            if done == operation and name.endswith(ending)
        )

    def named(self, operation: str) -> set[str]:
        """The resources that this operation was done to."""
        return {name for done, name in self.steps if done == operation}


class Paper:
    """A twin on paper that knows the accounts of all stacks; on `plan` where one is given."""

    def __init__(self, home: Path, plan: str = "") -> None:
        self.home = home
        home.mkdir()
        (home / "account.json").write_text(json.dumps(_account(plan)))
        self._log = (home / "twin.out").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "twin", "serve", "--home", str(home), "--paper"],
            cwd=ROOT,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while not (home / "twin.json").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no twin: {(home / 'twin.out').read_text()}")
            time.sleep(0.05)
        ports = json.loads((home / "twin.json").read_text())["providers"]
        self.providers = ",".join(f"{name}:{port}" for name, port in ports.items())

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(15)
        self._log.close()


def _account(plan: str) -> dict[str, Any]:
    stacks = [stackfiles.read(stack).values for stack in STACKS]
    zones = [{**it["payments:zone"], "addons": addons(it)} for it in stacks]
    secrets = stackfiles.SECRETS
    return {
        "digitalocean": {
            "token": secrets["digitalocean:token"],
            "spaces_access_id": secrets["digitalocean:spacesAccessId"],
            "spaces_secret_key": secrets["digitalocean:spacesSecretKey"],
        },
        "cloudflare": {
            "api_token": secrets["cloudflare:apiToken"],
            "accounts": [{"id": zone["account-id"], "name": zone["name"]} for zone in zones],
            "zones": [
                {
                    "id": zone["id"],
                    "name": zone["name"],
                    "plan": plan or zone["plan"],
                    "account_id": zone["account-id"],
                    "addons": zone["addons"],
                }
                for zone in zones
            ],
        },
        "stripe": {"secret_key": "sk_test_x", "webhook_endpoints": []},
    }


class Rehearsal:
    """One stack's deployments; state and effective settings lie in `folder`."""

    def __init__(self, folder: Path, stack: str, binaries: Path, paper: Paper) -> None:
        self.folder, self.stack = folder, stack
        folder.mkdir()
        (folder / "state").mkdir()
        self._crypter = Crypter.new(PASSPHRASE)
        stackfile.write_project(folder, ROOT, Path(sys.prefix))
        self._environment = {
            "PATH": f"{binaries}:{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(folder),
            "PULUMI_HOME": str(folder / "engine"),
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_DEBUG_PROVIDERS": paper.providers,
            "PULUMI_DEBUG_COMMANDS": "true",  # offers --event-log
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_ERROR_OUTPUT_STRING": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }
        self.settings = self._placed(stackfiles.read(stack))
        self.configure(self.settings)
        assert self._pulumi("stack", "init", stack).returncode == 0

    def _placed(self, config: StackConfig) -> StackConfig:
        """With the files of a laptop's stack in this folder."""
        ssh = config.values["payments:ssh"]
        if "config-file" not in ssh:
            return config
        (self.folder / "key.pub").write_text(stackfiles.PUBLIC_KEY)
        (self.folder / "ssh-config").touch()
        (self.folder / "ca.pem").write_text(stackfiles.CERTIFICATE)
        return (
            config.changed("payments:ssh.public-key-file", str(self.folder / "key.pub"))
            .changed("payments:ssh.config-file", str(self.folder / "ssh-config"))
            .changed("payments:outgoing-ca-file", str(self.folder / "ca.pem"))
        )

    def configure(self, config: StackConfig) -> None:
        """Write the effective stack file, secrets encrypted."""
        plain = {key: value for key, value in config.values.items() if key not in config.secrets}
        secret = {key: str(config.values[key]) for key in config.secrets}
        values = stackfile.with_secrets(plain, secret, self._crypter)
        stackfile.write(
            self.folder,
            self.stack,
            stackfile.StackFile(config=values, salt=self._crypter.salt_line),
        )

    def up(self, *options: str) -> Outcome:
        """`pulumi up`."""
        return self._run("up", "--yes", "--skip-preview", *options)

    def preview(self) -> Outcome:
        """`pulumi preview`."""
        return self._run("preview")

    def destroy(self) -> Outcome:
        """`pulumi destroy`."""
        return self._run("destroy", "--yes", "--skip-preview")

    def unprotect(self) -> None:
        """What a person must do before a protected stack can be destroyed."""
        self._pulumi("state", "unprotect", "--all", "--yes")

    def resources(self) -> list[dict[str, Any]]:
        """What the state holds."""
        exported = json.loads(self._pulumi("stack", "export").stdout)
        found: list[dict[str, Any]] = exported["deployment"].get("resources", [])
        return found

    def outputs_of(self, ending: str) -> dict[str, Any]:
        """The outputs of the one resource whose name ends so, as the state has them."""
        (found,) = [it for it in self.resources() if it["urn"].endswith(ending)]
        outputs: dict[str, Any] = found["outputs"]
        return outputs

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        found: dict[str, Any] = json.loads(self._pulumi("stack", "output", "--json").stdout)
        return found

    def _run(self, *arguments: str) -> Outcome:
        log = self.folder / "events.json"
        log.unlink(missing_ok=True)
        done = self._pulumi(*arguments, "--event-log", str(log))
        steps, times = [], []
        for line in log.read_text().splitlines() if log.exists() else []:
            event = json.loads(line)
            found = event.get("resourcePreEvent", {}).get("metadata")
            if found and found["op"] not in QUIET:
                steps.append((found["op"], found["urn"].rpartition("::")[2]))
                times.append(event["timestamp"])
        output = done.stdout + done.stderr
        return Outcome(code=done.returncode, output=output, steps=steps, times=times)

    def _pulumi(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=self.folder,
            env={**self._environment, "LANG": os.environ.get("LANG", "C.UTF-8")},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
