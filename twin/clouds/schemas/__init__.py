"""Compact schema tables of the provider doubles, and their maker (`twin.protocol.schema`)."""
