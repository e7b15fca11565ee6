"""Is a server's TLS what Mozilla's intermediate profile asks for? sslyze says.

The profile (ssl-config.mozilla.org): TLS 1.2 and 1.3, forward secrecy and AEAD alone, three curves,
a certificate of at most 366 days, and none of the known holes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tools import bootstrap, process
from tools.bootstrap import ROOT, Environment
from tools.errors import ToolError

_SECONDS: Final = 120.0
_VERDICT: Final = "COMPLIANCE AGAINST TLS CONFIGURATION"
_COMPLIANT: Final = "OK - Compliant."


def environment() -> Environment:
    """Return sslyze's environment."""
    return Environment(
        name="sslyze", folder=ROOT / ".venv-sslyze", lock=ROOT / "tools" / "scan" / "sslyze.lock"
    )


def shortcomings(address: str, port: int, name: str, ca_file: Path) -> str:
    """Return what keeps a server from being compliant, empty when nothing does.

    `name` is the server name that is asked for (SNI). Raises ToolError when the scan did not come
    to an end, for instance because nothing listens there.
    """
    own = environment()
    bootstrap.ensure(own)
    done = process.run(
        [
            own.folder / "bin" / "sslyze",
            "--mozilla_config=intermediate",
            f"--sni={name}",
            f"--certinfo_ca_file={ca_file}",
            f"{address}:{port}",
        ],
        timeout=_SECONDS,
        check=False,
        what="Scanning TLS",
    )
    _, found, verdict = done.text.partition(_VERDICT)
    if found and done.code == 0 and _COMPLIANT in verdict:
        return ""
    if found and "FAILED - Not compliant" in verdict:
        return verdict.strip("- \n")
    raise ToolError(
        f"sslyze could not scan {address}:{port} as {name}.",
        "Look whether it listens there.",
        details=done.text[-2000:],
    )
