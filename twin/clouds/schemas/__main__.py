"""Make or renew a compact schema table from a provider's public Pulumi schema.

    python -m twin.clouds.schemas SCHEMA.json PACKAGE [TOKEN …]

Writes `twin/clouds/schemas/PACKAGE.json`. Without tokens it renews those that the table has; given
tokens are added. What was written by hand (see `twin.protocol.schema`) stays.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from twin.protocol import schema

Json = dict[str, Any]


class _Compactor:
    """Collects the nested types that the wanted entries refer to."""

    def __init__(self, source: Json) -> None:
        self.source = source
        self.types: dict[str, Json] = {}

    def resource(self, token: str) -> Json:
        full = self.source["resources"][token]
        inputs, outputs = full.get("inputProperties", {}), full.get("properties", {})
        required, always = set(full.get("requiredInputs", ())), set(full.get("required", ()))
        made: Json = {"inputs": {}, "outputs": {}}
        for name, prop in sorted(inputs.items()):
            made["inputs"][name] = self._line(
                {**prop, "secret": prop.get("secret") or outputs.get(name, {}).get("secret")},
                required=name in required,
                computed=name in always - required,
                inputonly=name not in outputs,
            )
        for name, prop in sorted(outputs.items()):
            if name not in inputs:
                made["outputs"][name] = self._line(prop)
        return made

    def function(self, token: str) -> Json:
        full = self.source["functions"][token]
        made: Json = {"args": {}, "result": {}}
        required = full.get("inputs", {}).get("required", ())
        for name, prop in sorted(full.get("inputs", {}).get("properties", {}).items()):
            made["args"][name] = self._line(prop, required=name in required)
        for name, prop in sorted(full.get("outputs", {}).get("properties", {}).items()):
            made["result"][name] = self._line(prop)
        return made

    def config(self) -> Json:
        variables = self.source.get("config", {}).get("variables", {})
        return {name: self._line(prop) for name, prop in sorted(variables.items())}

    def _line(self, prop: Json, **flags: bool) -> str:
        flags["replace"] = prop.get("willReplaceOnChanges", False)
        flags["secret"] = bool(prop.get("secret"))
        flags["deprecated"] = "deprecationMessage" in prop
        return " ".join([self._type(prop), *(name for name, on in flags.items() if on)])

    def _type(self, prop: Json) -> str:
        if "oneOf" in prop:  # an enumeration, or its plain type
            return str(prop["type"])
        if "$ref" in prop:
            return self._reference(prop["$ref"])
        if prop["type"] == "array":
            return f"[{self._type(prop['items'])}]"
        if prop["type"] == "object":
            element = self._type(prop.get("additionalProperties", {"type": "string"}))
            return f"{{{element}}}"
        return str(prop["type"])

    def _reference(self, ref: str) -> str:
        if not ref.startswith("#/types/"):
            return "any"  # pulumi.json#/Any and its like
        full = self.source["types"][ref.removeprefix("#/types/")]
        if "enum" in full:
            return str(full["type"])
        name = ref.rsplit(":", 1)[-1]
        if name not in self.types:
            made: Json = {}
            self.types[name] = {"inputs": made}
            required = full.get("required", ())
            for key, prop in sorted(full.get("properties", {}).items()):
                made[key] = self._line(prop, required=key in required)
        return name


def renew(package: str, source: Json, old: Json, tokens: list[str]) -> Json:
    """The table of `tokens` and of what `old` has, with what was written by hand in `old`."""
    compactor = _Compactor(source)
    wanted = sorted({*tokens, *old.get("resources", {}), *old.get("functions", {})})
    made: Json = {"config": compactor.config(), "resources": {}, "functions": {}}
    for token in wanted:
        if token in source["resources"]:
            made["resources"][token] = compactor.resource(token)
        else:
            made["functions"][token] = compactor.function(token)
    made["types"] = dict(sorted(compactor.types.items()))
    for group in ("resources", "functions", "types"):
        for name, entry in made[group].items():
            kept = old.get(group, {}).get(name, {})
            entry.update({key: value for key, value in kept.items() if key not in entry})
    schema.parse(package, made)
    return made


def main(argv: list[str]) -> int:
    """Write the table; 2 on wrong usage."""
    if len(argv) < 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    source = json.loads(Path(argv[0]).read_text())
    target = Path(__file__).with_name(f"{argv[1]}.json")
    old = json.loads(target.read_text()) if target.exists() else {}
    made = renew(argv[1], source, old, argv[2:])
    target.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
