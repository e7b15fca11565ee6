"""Scanners that others made, each in an environment of its own: sslyze, and MDN's Observatory.

Neither fits into the infrastructure's environment: sslyze holds `cryptography` back, the
Observatory is a Node package. They are installed from their locks when a check first asks for them.
"""
