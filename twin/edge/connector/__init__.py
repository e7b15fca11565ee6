"""A stand-in for `cloudflared`: dials out to the twin's edge and forwards what comes back.

The package is all that its image holds beside Python, so it uses the standard library only and
imports nothing else of the twin.
"""
