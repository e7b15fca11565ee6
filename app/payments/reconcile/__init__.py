"""Reconciliation: the gateways' own lists held against our books, daily and on demand."""
