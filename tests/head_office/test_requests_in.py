"""Reading bodies: the limit counts while they come, not after."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request

from head_office import requests_in
from head_office.errors import BadRequestError, TooLargeError
from head_office.requests_in import read_body


class Sender:
    """A client that sends chunks of 1,000 bytes without saying how many."""

    def __init__(self, chunks: int) -> None:
        self.chunks, self.taken = chunks, 0

    async def receive(self) -> dict[str, Any]:
        self.taken += 1
        return {"type": "http.request", "body": bytes(1000), "more_body": self.taken < self.chunks}


async def stalled() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


def read(receive: Callable[[], Awaitable[dict[str, Any]]], largest: int, *headers: tuple[bytes, bytes]) -> bytes:
    scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
    return asyncio.run(read_body(Request(scope, receive), largest))


def test_a_body_within_the_limit_comes_whole() -> None:
    """Exactly the limit is still accepted."""
    assert read(Sender(3).receive, 3000) == bytes(3000)


def test_an_endless_body_is_left_at_the_limit() -> None:
    """No more is taken than it needs to know that it is too much."""
    sender = Sender(1_000_000)
    with pytest.raises(TooLargeError):
        read(sender.receive, 3000)
    assert sender.taken == 4


def test_an_announced_size_over_the_limit_is_not_read_at_all() -> None:
    """The header is enough to refuse."""
    sender = Sender(10)
    with pytest.raises(TooLargeError):
        read(sender.receive, 3000, (b"content-length", b"10000"))
    assert sender.taken == 0


def test_a_body_that_never_ends_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that stops in the middle does not hold its place for ever."""
    monkeypatch.setattr(requests_in, "BODY_WITHIN_S", 0.01)
    with pytest.raises(BadRequestError):
        read(stalled, 3000)
