"""Foreign bytes and what a parser makes of them."""

from collections.abc import Callable
from typing import TypeVar

from sync.errors import WireError

Value = TypeVar("Value")
Refused = TypeVar("Refused", bound=WireError)


def read_or_refusal(read: Callable[[bytes], Value], data: bytes, refused: type[Refused]) -> Value | Refused:
    """What ``read`` gives, or the refusal of the promised kind; anything else it raises is a crash and passes."""
    try:
        return read(data)
    except refused as error:
        return error
