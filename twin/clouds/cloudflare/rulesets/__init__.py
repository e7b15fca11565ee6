"""Rulesets: the rules of a zone, by phase."""
