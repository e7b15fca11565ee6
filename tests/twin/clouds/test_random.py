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
    made = {n: entry["outputs"] for n, entry in engine.revealed().items() if "outputs" in entry}
    exported = engine.state()
    second = engine.up("--refresh")
    assert second.steps == {}, second.output
    after = engine.revealed()
    assert all(after[name]["outputs"] == outputs for name, outputs in made.items())

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
    for secret in (password, shown("key", "hex"), shown("password", "bcryptHash")):
        assert secret not in exported, "a generated secret must not be readable in the state"
    assert engine.destroy().code == 0
