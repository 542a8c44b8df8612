"""What the matcher's tests share: the loaded network."""

import pytest

from matcher.errors import NetworkMissingError
from matcher.extract.network import Network


@pytest.fixture(scope="session")
def network() -> Network:
    """The network file that set-up wrote; skips where set-up has not run."""
    try:
        return Network.load()
    except NetworkMissingError as error:
        pytest.skip(str(error))
