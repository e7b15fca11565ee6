"""Cloudflare in front of the service: what is wanted, what a plan takes of it, and the resources.

`limits`, `firewall`, `managed`, … say what is wanted, as data. `plans` says what each plan takes.
`fitting` makes the one fit the other and reports what was lost on the way and who makes up for it;
`whole` does so for everything at once. `zone`, `front` and `watch` hold the components that create
what was fitted; `report` and `docs` show it.
"""
