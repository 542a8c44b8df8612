"""Touches of one synthetic finger, good and bad, made once."""

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from drivers.scanner.synthetic.faults import Fault
from drivers.scanner.synthetic.finger import Finger


@pytest.fixture(scope="session")
def touches() -> Mapping[str, NDArray[np.uint8]]:
    """``grease`` is what ``good`` leaves behind, ``again`` and ``third`` other placements, the rest are faults."""
    finger = Finger.from_seed(5)
    return {
        "good": finger.impression(1),
        "again": finger.impression(2),
        "third": finger.impression(3),
        "grease": finger.impression(1, fault=Fault.GHOST),
        "other_grease": finger.impression(4, fault=Fault.GHOST),
        "dry": finger.impression(6, fault=Fault.DRY),
        "wet": finger.impression(6, fault=Fault.WET),
        "small": finger.impression(7, fault=Fault.SMALL),
        "shifted": finger.impression(8, fault=Fault.SHIFTED),
        "cloth": finger.impression(9, fault=Fault.NOT_A_FINGER),
    }
