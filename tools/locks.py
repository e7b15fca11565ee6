"""`make lock`: resolve every requirements file into its lock, with hashes and without addresses."""

from __future__ import annotations

import sys
from pathlib import Path

from tools import process
from tools.bootstrap import ROOT, pip_settings, uv_command, uv_environment, uv_settings
from tools.errors import EXIT_FAILED, ToolError

# source → lock; each is universal: one lock for every platform and Python from 3.11 on
_LOCKS = {
    "requirements.txt": "requirements.lock",
    "app/requirements.txt": "app/requirements.lock",
    "app/requirements-test.txt": "app/requirements-test.lock",
    "tools/uv.txt": "tools/uv.lock",
    "tools/engine/go.txt": "tools/engine/go.lock",
    "tools/scan/sslyze.txt": "tools/scan/sslyze.lock",
}


def main() -> int:
    """Resolve them all."""
    try:
        uv = uv_command()
        for source, lock in _LOCKS.items():
            sys.stderr.write(f"{source} → {lock}\n")
            process.run(
                [uv, "pip", "compile", source, "--universal", "--generate-hashes", "--no-header",
                 "--quiet", "--python-version", "3.11", "--output-file", Path(lock)],
                cwd=ROOT,
                env={**uv_environment(), **(uv_settings(pip_settings()) or {})},
                what=f"Resolving {source}",
            )  # fmt: skip
    except ToolError as error:
        sys.stderr.write("\n".join(filter(None, (error.message, error.details, error.remedy))))
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
