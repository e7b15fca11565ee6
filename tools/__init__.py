"""The commands a person types: what `make` runs, and how a machine gets ready for them.

`tools.bootstrap` and what it imports use the standard library only (it makes the environment that
everything else runs in). The rest speaks to three things: the engine's command line, the Docker
engine and the twin's admin port. Nothing here is imported by the program, the twin or the service.
"""
