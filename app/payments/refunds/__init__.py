"""Giving money back: asked for under a key, never more than came, booked once."""
