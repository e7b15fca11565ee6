"""Disputes: money that a gateway takes back because the customer's bank says so."""
