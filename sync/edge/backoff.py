"""When to try head office again; pure."""

from datetime import datetime, timedelta

SHORTEST_S, LONGEST_S = 5.0, 15 * 60.0
"""First ceiling and last: a branch is back within seconds of a hiccup, a dead server is not hammered."""
LEAST_S = 1.0
"""However the dice fall, never a tight loop."""
LONGEST_RETRY_AFTER_S = 3600.0
"""A longer Retry-After is taken as this: a misconfigured proxy must not silence a branch for a day."""


def delay_s(failures: int, draw: float, retry_after_s: float | None = None) -> float:
    """Seconds to wait after the ``failures``-th failure in a row.

    Full jitter: anything from LEAST_S up to a ceiling that doubles from 5 s to 15 min, so that a thousand
    branches that lost the same server do not come back in step. A Retry-After is kept, and up to a tenth of it
    added for the same reason.

    Parameters
    ----------
    failures
        1 after the first.
    draw
        A random number in [0, 1).
    retry_after_s
        What the server asked for, if it did.
    """
    ceiling = min(LONGEST_S, SHORTEST_S * 2.0 ** min(max(failures, 1) - 1, 30))
    delay = max(LEAST_S, ceiling * draw)
    if retry_after_s is None:
        return delay
    asked = min(max(retry_after_s, 0.0), LONGEST_RETRY_AFTER_S)
    # Not asked * (1 + draw / 10), which may end a hair above eleven tenths.
    return max(delay, asked + asked / 10 * draw)


def poll_s(asked_s: int, draw: float) -> float:
    """Seconds to the next poll: what the receipt asked for, a tenth more or less, so that devices spread out."""
    return max(LEAST_S, asked_s * (0.9 + 0.2 * draw))


def has_come(moment: datetime, now: datetime, longest_s: float = 2 * LONGEST_RETRY_AFTER_S) -> bool:
    """Whether a time written down earlier has come.

    One further away than any wait of ours was written by a clock that has since been set back; waiting for it
    could take years.
    """
    return moment <= now or moment - now > timedelta(seconds=longest_s)
