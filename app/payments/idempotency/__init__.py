"""Idempotency keys: the same POST, however often it is sent, happens once and answers the same."""
