"""The story of a claim, and the ways to run it."""

__version__ = "0.1.0"
