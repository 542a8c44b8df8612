"""What the accuracy tests share: the loaded network."""

from tests.matcher.conftest import network

__all__ = ["network"]
