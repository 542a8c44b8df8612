"""Head office as its own tests start it."""

from tests.head_office.conftest import home, service

__all__ = ["home", "service"]
