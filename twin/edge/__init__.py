"""The twin's edge: what stands between the internet and the platform's origins.

One HTTPS front for every name the twin serves, the tunnel that connectors dial into, and the
pipeline that a request for a zone's host goes through.
"""
