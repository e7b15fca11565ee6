"""Which grade do a site's headers get? MDN's HTTP Observatory says, by its own scanner.

The scanner's list of preloaded HSTS names comes from GitHub after its installation; it is left
empty here, because none of our names can be on it. Needs Node 20 or newer and npm.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools import process
from tools.bootstrap import ROOT
from tools.errors import ToolError

_SOURCES: Final = ROOT / "tools" / "scan"
_FOLDER: Final = ROOT / ".venv-observatory"
_PACKAGE: Final = _FOLDER / "node_modules" / "@mdn" / "mdn-http-observatory"
_OLDEST_NODE: Final = 20
_INSTALL_SECONDS: Final = 300.0
_SCAN_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The grade (A+ to F), the score behind it, and the tests that failed: name and result."""

    grade: str
    score: int
    failed: dict[str, str]


def missing() -> str:
    """Return what keeps the scanner from running here, empty when nothing does."""
    if not (shutil.which("node") and shutil.which("npm")):
        return "node and npm are not installed"
    version = process.run(["node", "--version"], what="node").out.strip().lstrip("v")
    if int(version.partition(".")[0]) < _OLDEST_NODE:
        return f"node is {version}, the Observatory needs {_OLDEST_NODE}"
    return ""


def scan(host: str, ca_file: Path) -> Verdict:
    """Grade `host` (`name:port`, which must speak HTTP and HTTPS); raises ToolError.

    The name may be one below localhost, whatever the system's resolver says of those.
    """
    _ensure()
    done = process.run(
        ["node", "--require", _SOURCES / "loopback.cjs", _PACKAGE / "src" / "scan.js", host],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(ca_file)},
        timeout=_SCAN_SECONDS,
        check=False,
        what="Grading headers",
    )
    try:
        told = json.loads(done.out)
        result, tests = told["scan"], told["tests"]
    except (ValueError, KeyError) as error:
        raise ToolError(
            f"The Observatory could not scan {host}.",
            "Look whether it answers by HTTP and by HTTPS.",
            details=done.text[-2000:],
        ) from error
    return Verdict(
        grade=str(result["grade"]),
        score=int(result["score"]),
        failed={name: str(test["result"]) for name, test in tests.items() if not test["pass"]},
    )


def _ensure() -> None:
    """Install the scanner from its lock; none of its packages' scripts are run."""
    lacking = missing()
    if lacking:
        raise ToolError(f"The Observatory cannot run: {lacking}.", "Install Node 20 or newer.")
    wanted = hashlib.sha256((_SOURCES / "package-lock.json").read_bytes()).hexdigest()
    stamp = _FOLDER / ".payments-stamp"
    _FOLDER.mkdir(exist_ok=True)
    with (_FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
            return
        stamp.unlink(missing_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(_SOURCES / name, _FOLDER / name)
        process.run(
            ["npm", "ci", "--ignore-scripts", "--omit=dev", "--omit=optional", "--no-audit",
             "--no-fund"],
            cwd=_FOLDER,
            timeout=_INSTALL_SECONDS,
            what="Installing the Observatory",
        )  # fmt: skip
        (_PACKAGE / "conf" / "hsts-preload.json").write_text("{}\n", encoding="utf-8")
        stamp.write_text(wanted, encoding="utf-8")
