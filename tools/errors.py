"""What is shown to a person when a command cannot go on."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class ToolError(Exception):
    """A failure with its remedy; shown without a stack trace.

    `message` says what is wrong in a sentence, `remedy` what to do (commands on lines of their
    own), `details` is what another program said, shown indented and cut to its last lines.
    """

    def __init__(self, message: str, remedy: str = "", details: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.details = details


_KNOWN: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"no space left on device|ENOSPC|disk quota exceeded", re.I),
        "The disk is full.",
        "Free some space (`df -h` shows which disk; `docker system df` what images hold), "
        "then run the same command again.",
    ),
    (
        re.compile(r"permission denied.*docker\.sock|docker\.sock.*permission denied", re.I | re.S),
        "You may not use the Docker engine.",
        'sudo usermod -aG docker "$USER"   # then log out and in again',
    ),
    (
        re.compile(r"could not get lock /var/lib/(dpkg|apt)|is another process using it", re.I),
        "Another program is installing packages.",
        "Wait until it is done, then run the same command again.",
    ),
    (
        re.compile(
            r"temporary failure in name resolution|could not resolve|no such host"
            r"|name or service not known|network is unreachable|dns error",
            re.I,
        ),
        "The network does not answer.",
        "Everything that is already fetched keeps working; what is missing needs a network once. "
        "Behind a proxy: set HTTPS_PROXY and pip's settings.",
    ),
    (
        re.compile(r"certificate verify failed|unknown authority|self[- ]signed certificate", re.I),
        "A server's certificate is not trusted here.",
        "Behind a company's certificate authority: add it to the machine's store "
        "(/usr/local/share/ca-certificates, then update-ca-certificates), or point "
        "SSL_CERT_FILE at it.",
    ),
)


_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")  # colours and cursor movements


def explain(output: str) -> tuple[str, str] | None:
    """(cause, remedy) for a failure that another program's output gives away, or None."""
    for pattern, cause, remedy in _KNOWN:
        if pattern.search(output):
            return cause, remedy
    return None


def from_os_error(error: OSError) -> ToolError:
    """The same sentence a person would have said for an error of the operating system."""
    where = str(error.filename or "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ToolError(
            f"The disk is full{f' (writing {where})' if where else ''}{free_space(where)}.",
            "Free some space, then run the same command again.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ToolError(f"Permission denied: {where or error}.", "Check who owns it: ls -ld")
    if error.errno == errno.EROFS:
        return ToolError(f"{where or 'The folder'} is read-only.", "")
    return ToolError(f"{error.strerror or error}{f': {where}' if where else ''}.")


def free_space(where: str) -> str:
    """` (N MB free on its disk)` for the closest folder that exists, or nothing."""
    folder = Path(where or ".")
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f" ({shutil.disk_usage(folder).free // 1_000_000} MB free on its disk)"
    except OSError:
        return ""


def tail(text: str, lines: int = 15) -> str:
    """The last lines that are not empty."""
    plain = _ESCAPES.sub("", text)
    kept = [line.rstrip() for line in plain.splitlines() if line.strip()]
    return "\n".join(kept[-lines:])
