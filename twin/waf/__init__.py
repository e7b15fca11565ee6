"""The managed-rules phase: what the deployed rulesets say of a request, by a real CRS engine.

`engine/` is a Go program (Coraza with the OWASP core ruleset built in) that says which rules match;
`engine` runs it; `rulesets` reads what was deployed; `decide` turns matches into a decision;
`stage` is the step of the edge's pipeline.
"""
