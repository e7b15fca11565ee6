from __future__ import annotations

import base64

import bcrypt

from tests.twin.conftest import StartEngine
from twin.clouds import random

PROGRAM = """
    import pulumi, pulumi_random as random
    password = random.RandomPassword("password", length=24, min_special=2, override_special="-_")
    key = random.RandomBytes("key", length=32)
    suffix = random.RandomId("suffix", byte_length=4, prefix="pp-", keepers={"turn": "TURN"})
    label = random.RandomString("label", length=12, special=False, upper=False)
    pulumi.export("password", password.result)
    pulumi.export("hash", password.bcrypt_hash)
    pulumi.export("suffix", suffix.hex)
"""


def test_values_survive_a_second_up_and_a_refresh_and_are_secret_in_the_state(
    start_engine: StartEngine,
) -> None:
    engine = start_engine(random.package())
    engine.program(PROGRAM)
    first = engine.up()
    assert first.code == 0, first.output
    made = {
        name: entry["outputs"] for name, entry in engine.resources().items() if "outputs" in entry
    }
    second = engine.up()
    assert second.steps == {}, second.output
    refreshed = engine.refresh("--expect-no-changes")
    assert refreshed.code == 0, refreshed.output
    assert engine.up().steps == {}
    again = engine.resources()
    assert all(again[name]["outputs"] == outputs for name, outputs in made.items())

    def shown(name: str, output: str) -> str:
        return str(made[name][output]["plaintext"]).strip('"')

    password = shown("password", "result")
    assert len(password) == 24
    assert sum(c in "-_" for c in password) >= 2, (
        "min_special counts characters of override_special"
    )
    assert bcrypt.checkpw(password.encode(), shown("password", "bcryptHash").encode())
    assert base64.b64decode(shown("key", "base64")).hex() == shown("key", "hex")
    assert made["suffix"]["hex"].startswith("pp-")
    assert made["label"]["result"].isalnum()
    assert made["label"]["result"].islower() or made["label"]["result"].isdigit()
    exported = engine.state()
    for secret in (password, shown("key", "hex"), shown("password", "bcryptHash")):
        assert secret not in exported, "a generated secret must not be readable in the state"
    assert engine.destroy().code == 0
