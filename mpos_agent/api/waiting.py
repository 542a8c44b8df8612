"""Requests that wait for a person at a device, and for a caller who may not wait as long."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import Request

Answer = TypeVar("Answer")

# How soon a wait for a card or a finger notices that its caller has gone.
_LOOK_S = 0.25


async def while_wanted(request: Request, work: Callable[[], Answer], stop: Callable[[], None]) -> Answer:
    """Run what waits for a device in a worker thread, and end the wait when its caller has gone."""
    running = asyncio.ensure_future(anyio.to_thread.run_sync(work))
    while not running.done():
        await asyncio.wait({running}, timeout=_LOOK_S)
        if not running.done() and await request.is_disconnected():
            stop()
    return running.result()
