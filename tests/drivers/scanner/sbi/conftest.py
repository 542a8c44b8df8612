"""A pretended device service per test, and one set of keys for all of them: making RSA keys takes half a second."""

import copy
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.sbi.mock.device import MockDevice
from drivers.scanner.sbi.mock.identity import MockIdentity
from drivers.scanner.sbi.mock.service import MockService
from drivers.scanner.sbi.scanner import Pace, SbiScanner, SbiSource, find
from drivers.scanner.synthetic.finger import Finger

QUICK = Pace(look=10.0, listing=20.0, answer=10.0, capture=1.0, glimpse=0.1, pause=0.02)
"""For services that answer at once, on machines that are busy with other tests."""
IMPATIENT = Pace(look=2.0, listing=4.0, answer=1.0, capture=0.2, glimpse=0.1, pause=0.02)
"""For services that never answer."""


class Find(Protocol):
    """Discovery on the one port of the service."""

    def __call__(self, pace: Pace = QUICK) -> SbiSource: ...


@pytest.fixture(scope="session")
def keys() -> MockIdentity:
    return MockIdentity(datetime.datetime.now(datetime.UTC))


@pytest.fixture
def identity(keys: MockIdentity) -> MockIdentity:
    """A test may rotate its keys without the others hearing of it."""
    return copy.copy(keys)


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    """A piece of a finger: what is checked here does not depend on its size."""
    return np.ascontiguousarray(Finger.from_seed(1).impression(1)[80:280, 90:280])


@pytest.fixture
def device(identity: MockIdentity, pixels: NDArray[np.uint8]) -> MockDevice:
    """With a finger on its glass."""
    made = MockDevice(identity)
    made.glass.place(pixels)
    return made


@pytest.fixture
def service(device: MockDevice) -> Iterator[MockService]:
    with MockService(device) as served:
        yield served


@pytest.fixture
def roots(identity: MockIdentity, tmp_path: Path) -> Path:
    return identity.write_roots(tmp_path / "roots")


@pytest.fixture
def find_it(service: MockService, roots: Path) -> Find:

    def found(pace: Pace = QUICK) -> SbiSource:
        [source] = find((service.port, service.port), roots, "Developer", pace)
        assert isinstance(source, SbiSource)
        return source

    return found


@pytest.fixture
def scanner(find_it: Find) -> Iterator[SbiScanner]:
    with find_it().open() as opened:
        yield opened
