"""TLS towards what we depend on: verified always, against the authority we were given."""

from __future__ import annotations

import ssl


def context_for(ca_pem: str | None) -> ssl.SSLContext:
    """Return a verifying context that trusts `ca_pem` alone, or the system's store without it.

    Managed databases have an authority of their own per project; the system's store would both
    refuse it and accept hundreds of others.
    """
    context = ssl.create_default_context(cadata=ca_pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def context_with_extra(ca_pem: str | None) -> ssl.SSLContext:
    """Return a verifying context with the system's store and, if given, one authority more."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem is not None:
        context.load_verify_locations(cadata=ca_pem)
    return context
