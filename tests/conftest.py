"""What every test may ask for: the shared data, the real pcscd, the network file."""

import os
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EMPTY_WITHIN_S = 20.0
"""pcscd looks at its slots every 0.4 s; on a loaded machine later."""


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real fingerprints, templates and recordings beside the project; skips where absent."""
    folder = Path(os.environ.get("MPOS_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no ../shared/data on this machine: tests on real prints and recordings are left out")
    return folder


@pytest.fixture
def pcscd() -> None:
    """The real pcscd with the virtual reader, in a private namespace (``make test`` provides it), its slots empty.

    It looks at them only every so often: a card laid down before it has seen that the one of the test before left is
    taken for that one, and the first command to it fails.
    """
    if os.environ.get("MPOS_PRIVATE_PCSCD") != "1":
        pytest.skip("no private pcscd: run the tests with `make test` (needs pcscd, vsmartcard-vpcd and namespaces)")
    from drivers.card.pcsc import PcscSlots

    slots, end = PcscSlots(), time.monotonic() + EMPTY_WITHIN_S
    while slots.with_cards(slots.names(), 0.0):
        assert time.monotonic() < end, "a card of another test still lies on the reader"
        time.sleep(0.05)


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """There is one pcscd with two slots: whatever uses it runs one after the other, in one worker."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        if item.get_closest_marker("pcsc") is not None or "pcscd" in names or "counter" in names:
            item.add_marker(pytest.mark.xdist_group("pcscd"))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their length: signed ones differ from run to run, and workers must agree on names."""
    return f"{argname}-of-{len(val)}" if isinstance(val, bytes) else None
