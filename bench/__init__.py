"""Figures, each by the command that a reader can run: `make bench`."""
