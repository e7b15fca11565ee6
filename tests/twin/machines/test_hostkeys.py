from __future__ import annotations

from pathlib import Path

from twin.machines import hostkeys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1EcYDe9D3VhBV6Bz0zZ3m1tqkCyEmtTTTuEKqEqJ9T"


def test_a_deleted_droplet_is_forgotten_and_the_others_are_not(tmp_path: Path) -> None:
    known = tmp_path / "ssh" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"203.0.113.8 {KEY}\n203.0.113.81 {KEY}\n10.0.0.2 {KEY}\n")
    hostkeys.forget(tmp_path, "203.0.113.8", "10.0.0.2")
    assert known.read_text() == f"203.0.113.81 {KEY}\n"
    assert [path.name for path in known.parent.iterdir()] == ["known_hosts"]


def test_a_home_that_nobody_logged_in_from_is_fine(tmp_path: Path) -> None:
    hostkeys.forget(tmp_path, "203.0.113.8")
