"""The share of strangers our thresholds let pass, folder by folder: is a rate what it is called?"""

from collections.abc import Sequence

from bench.rates import Comparisons, share_accepted, strangers_accepted, within_factor_of_two
from matcher import THRESHOLDS

COUNTED = "FMR_0.1%"
"""The strictest rate a single folder has pairs enough for."""
NAMED = 1e-3
THRESHOLD_COLUMNS = ("gallery", "folder", *THRESHOLDS, f"{COUNTED}, 95 % interval", "within a factor of two")


def threshold_rows(gallery: str, parts: Sequence[Comparisons]) -> list[list[str]]:
    """A row a folder, and one of all of them together; rates in per cent."""
    rows = []
    for part in parts:
        rate = strangers_accepted(part, THRESHOLDS[COUNTED])
        shares = [f"{100 * share_accepted([part], value, mated=False):.3f}" for value in THRESHOLDS.values()]
        rows.append([gallery, part.folder, *shares, str(rate), within_factor_of_two(rate, NAMED)])
    shares = [f"{100 * share_accepted(parts, value, mated=False):.3f}" for value in THRESHOLDS.values()]
    rows.append([gallery, "pooled", *shares, "", ""])
    return rows
