"""What the simulated gateways share: memory, faults, webhooks, the JSON way of an API, pages.

A gateway is its own dialect over these: what it takes, what it answers, how it signs. Nothing here
knows one of them.
"""
