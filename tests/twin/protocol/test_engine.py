"""The real engine on a made-up provider: what a user sees must be what the real bridges show."""

from __future__ import annotations

from tests.twin.conftest import StartEngine
from tests.twin.protocol import toy
from twin.protocol.resource import Context


def test_a_life_from_create_to_destroy_shows_only_what_changes(
    start_engine: StartEngine, paper_context: Context
) -> None:
    package = toy.package()
    thing = package.resources[0]
    assert isinstance(thing, toy.Thing)
    engine = start_engine(package)
    props = 'dict(size="large", tags=["b", "a"], region="here", parts=[dict(port=1, kind="x")]'
    secret = 'password=pulumi.Output.secret("hunter22"))'

    engine.program(toy.PROGRAM + f'    t = Thing("t", {props}, {secret})\n')
    assert engine.preview().steps["t"] == "create"
    assert thing.calls == [], "a preview must not create"
    assert engine.up().code == 0
    made = engine.resources()["t"]
    name = made["outputs"]["name"]
    assert name.startswith("t-")
    assert len(name) == len("t-") + 7, "the bridges append seven hex digits"
    assert made["outputs"]["count"] == 1, "defaults are filled in"
    exported = engine.state()
    assert "hunter22" not in exported, "an input that is secret stays secret as an output"
    assert "token-1" not in exported, "an output that is secret by the schema is encrypted"
    record = paper_context.store.get("toy:index:Thing", made["id"])
    assert record is not None
    assert record.outputs["password"] == "hunter22"

    reordered = props.replace('["b", "a"]', '["a", "b"]')
    engine.program(toy.PROGRAM + f'    t = Thing("t", {reordered}, {secret})\n')
    assert engine.up("--refresh").steps == {}, "the order of a set means nothing"

    engine.program(
        toy.PROGRAM + f'    t = Thing("t", {props.replace("port=1", "port=2")}, {secret})\n'
    )
    assert engine.up().steps == {"t": "update"}
    assert engine.resources()["t"]["outputs"]["name"] == name, "an update keeps the given name"

    smaller = props.replace("port=1", "port=2").replace('"large"', '"small"')
    engine.program(toy.PROGRAM + f'    t = Thing("t", {smaller}, {secret})\n')
    replaced = engine.up()
    assert "~ size" in replaced.output, "the property that forces the replacement is shown"
    new = engine.resources()["t"]["outputs"]["name"]
    assert new != name, "a replacement has a name of its own"
    assert thing.calls[-2:] == [f"create {new}", f"delete {name}"], "create before delete"

    assert engine.destroy().code == 0
    assert paper_context.store.all() == []


def test_an_explicit_name_makes_a_replacement_delete_first(start_engine: StartEngine) -> None:
    package = toy.package()
    thing = package.resources[0]
    assert isinstance(thing, toy.Thing)
    engine = start_engine(package)
    engine.program(toy.PROGRAM + '    Thing("t", dict(name="fixed", region="here"))\n')
    assert engine.up().code == 0
    engine.program(toy.PROGRAM + '    Thing("t", dict(name="fixed", region="there"))\n')
    assert engine.up().code == 0
    assert thing.calls == ["create fixed", "delete fixed", "create fixed"]


def test_what_drifted_or_vanished_shows_on_refresh_and_the_next_up_repairs_it(
    start_engine: StartEngine, paper_context: Context
) -> None:
    engine = start_engine(toy.package())
    engine.program(toy.PROGRAM + '    Thing("t", dict(size="small")); Thing("u", {})\n')
    assert engine.up().code == 0
    resources, store = engine.resources(), paper_context.store
    record = store.get("toy:index:Thing", resources["t"]["id"])
    assert record is not None
    store.put(record.token, record.id, record.inputs, {**record.outputs, "size": "large"})
    store.remove("toy:index:Thing", resources["u"]["id"])

    assert engine.refresh().code == 0
    repaired = engine.up()
    assert repaired.steps["t"] == "delete-replaced", "shrinking it again takes a new one"
    assert repaired.steps["u"] == "create"
    assert engine.up("--refresh").steps == {}


def test_a_created_but_broken_resource_is_recorded_with_its_error(
    start_engine: StartEngine, paper_context: Context
) -> None:
    engine = start_engine(toy.package())
    long = '"x" * 100_000'  # errors travel in headers: a long property must not lose them
    program = (
        f'    Thing("t", dict(broken=%s, region={long}, password=pulumi.Output.secret("it is")))\n'
    )
    engine.program(toy.PROGRAM + program % True)
    failed = engine.up()
    assert failed.code != 0
    assert "[secret] broken" in failed.output, "secrets are masked in errors"
    made = engine.resources()["t"]
    assert made["initErrors"] == ["[secret] broken"]
    assert [r.id for r in paper_context.store.all()] == [made["id"]]
    again = engine.up()
    assert again.code == 0, "the engine clears an init error with an empty update, as in production"
    assert "initErrors" not in engine.resources()["t"]


def test_refusals_are_one_sentence_without_secrets_or_traces(start_engine: StartEngine) -> None:
    engine = start_engine(toy.package())
    engine.program(toy.PROGRAM + '    Thing("typo", dict(sise="small"))\n')
    checked = engine.preview()
    assert checked.code != 0
    assert 'is not a property of this type; did you mean "size"?' in checked.output
    engine.program(
        toy.PROGRAM
        + """
    Thing("weak", dict(a="refuse", password=pulumi.Output.secret("hunter22")))
    Thing("bug", dict(a="crash"))
"""
    )
    failed = engine.up("--continue-on-error")
    assert "422 the password [secret] is too weak" in failed.output
    assert "the twin failed unexpectedly (RuntimeError: a bug)" in failed.output
    assert "hunter22" not in failed.output
    assert "toy.py" not in failed.output, "a trace is for the log"


def test_each_provider_instance_keeps_its_own_configuration(start_engine: StartEngine) -> None:
    engine = start_engine(toy.package())
    engine.program(
        toy.PROGRAM
        + """
    def look(toy, name):
        opts = pulumi.InvokeOptions(provider=toy)
        return pulumi.runtime.invoke("toy:index:lookUp", dict(name=name), opts).value["secret"]

    one = Toy("one", dict(token=pulumi.Output.secret("t-one")))
    two = Toy("two", dict(token=pulumi.Output.secret("t-two")))
    Thing("t", dict(region=look(one, "a")), pulumi.ResourceOptions(provider=two))
    Thing("u", dict(region=look(two, "b")), pulumi.ResourceOptions(provider=one))
"""
    )
    assert engine.up().code == 0
    made = engine.resources()
    assert "a of t-one" in str(made["t"]["outputs"]["region"])
    assert "b of t-two" in str(made["u"]["outputs"]["region"])
    engine.program(toy.PROGRAM + '    toy = Toy("one", dict(token="wrong"))\n'
                   '    Thing("t", {}, pulumi.ResourceOptions(provider=toy))\n')  # fmt: skip
    assert "401 the token is not accepted" in engine.up().output
    engine.program(toy.PROGRAM + '    Toy("one", dict(tokn="x"))\n')
    assert 'did you mean "token"?' in engine.up().output
