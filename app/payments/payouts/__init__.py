"""Payouts: what gateways send to our bank, and what we send to merchants."""
