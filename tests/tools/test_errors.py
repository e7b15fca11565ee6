from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tools.errors import explain, from_os_error, tail


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ("ENOSPC: no space left on device, write", "The disk is full."),
        ("dial unix /var/run/docker.sock: connect: permission denied", "You may not use"),
        ("Got permission denied while trying to connect at unix:///var/run/docker.sock", "You may"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held", "Another program"),
        ("lookup registry-1.docker.io: no such host", "The network does not answer."),
        ("[Errno -3] Temporary failure in name resolution", "The network does not answer."),
        ("x509: certificate signed by unknown authority", "A server's certificate"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "A server's certificate"),
    ],
)
def test_what_other_programs_say_has_a_cause_and_a_remedy(said: str, cause: str) -> None:
    known = explain(said)
    assert known, f"nobody should have to guess what this means: {said}"
    assert known[0].startswith(cause)
    assert known[1]


def test_what_is_not_known_is_not_explained_away() -> None:
    assert explain("syntax error near line 3") is None


def test_a_full_disk_names_the_file_and_the_room_left(tmp_path: Path) -> None:
    path = tmp_path / "not" / "there"
    error = from_os_error(OSError(errno.ENOSPC, "No space left on device", str(path)))
    assert str(path) in error.message
    assert "MB free on its disk" in error.message
    assert "Free some space" in error.remedy


def test_other_errors_of_the_system_are_sentences() -> None:
    assert "Permission denied: /x" in from_os_error(PermissionError(13, "no", "/x")).message
    assert "read-only" in from_os_error(OSError(errno.EROFS, "ro", "/x")).message
    assert from_os_error(OSError(errno.EIO, "I/O error", "/x")).message == "I/O error: /x."


def test_the_tail_is_plain_and_without_blank_lines() -> None:
    assert tail("a\n\n\x1b[91mb\x1b[0m  \nc\n", 2) == "b\nc"
