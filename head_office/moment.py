"""Time as the ledger keeps it: whole milliseconds of UTC since 1970, read from a clock that is passed in."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970; refuses a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone says nothing")
    return round(moment.timestamp() * 1000)


def from_ms(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
