"""What SSH clients of the instance remember of machines that are gone.

A new droplet may get the address of one that was deleted, with other host keys: `accept-new` then
refuses it as an impostor. On the real cloud addresses come back seldom; here there are few.
"""

from __future__ import annotations

import logging
import subprocess
import threading
from pathlib import Path

_log = logging.getLogger(__name__)
_lock = threading.Lock()


def forget(home: Path, *addresses: str) -> None:
    """Remove these addresses from the home's `ssh/known_hosts`, if there is one."""
    known = home / "ssh" / "known_hosts"
    with _lock:
        for address in addresses:
            if not known.exists():
                return
            done = subprocess.run(  # noqa: S603  (our own file and addresses)
                ["ssh-keygen", "-q", "-R", address, "-f", str(known)],  # noqa: S607
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                _log.warning("could not forget the host keys of %s: %s", address, done.stderr)
        known.with_name("known_hosts.old").unlink(missing_ok=True)
