"""The twin's own pages."""
