"""A whole counter for each module of flow tests: virtual devices, real pcscd where there is one, real programs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from matcher import Network
from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.fingers import SyntheticFingers
from mpos_agent.demo.private_pcscd import MARK
from mpos_agent.demo.stage import Stage


@pytest.fixture(scope="session")
def network() -> Network:
    """The network file that set-up made."""
    return Network.load()


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Iterator[VirtualCounter]:
    """Card, SAM and scanner, in the real pcscd where there is one."""
    folder = tmp_path_factory.mktemp("d")
    with VirtualCounter(folder, SyntheticFingers(), network, real_pcscd=os.environ.get(MARK) == "1") as opened:
        yield opened


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, counter: VirtualCounter) -> Iterator[Stage]:
    """Head office and an enrolled agent, both running; the agent's log at its most talkative."""
    with Stage(Path(tmp_path_factory.mktemp("s")), counter.settings(), log_level="TRAFFIC") as made:
        made.found_head_office()
        made.start_head_office()
        made.start_agent()
        made.enrol()
        yield made
