"""The database's shape: who may do what in it, and how it changes."""
