"""How the edge delivers: zone settings, normalised paths, redirects, header transforms, cache."""
