"""What happens on this machine, told to whoever listens: from any thread, to any number of readers.

Events say that something changed and how far it is; they hold no personal data. A reader that is too slow
loses the oldest events and sees that by the gap in their numbers.
"""

import asyncio
import collections
import contextlib
import dataclasses
import enum
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

EventFact = str | int | float | bool | None | tuple[str, ...]

# Long enough for a card read and four finger attempts at the counter page's poll after a lost connection.
_KEPT = 256


class EventKind(enum.StrEnum):
    """What an event is about."""

    READER = "reader"
    """A card reader appeared or went away, or the card service did."""
    CARD = "card"
    """A card was laid on a reader, or lifted."""
    CARD_PROGRESS = "card_progress"
    """How far the read of a claim's card is (``step``, ``fraction``)."""
    FINGER = "finger"
    """A finger prompt or a hint for the running attempt."""
    SCANNER = "scanner"
    """A scanner was plugged in or unplugged, or looking for one failed."""
    CLAIM = "claim"
    """A claim moved on."""
    QUEUE = "queue"
    """The number of waiting, accepted or refused packets changed."""
    SYNC = "sync"
    """A round with head office ended."""
    RECEIPT = "receipt"
    """Head office's signed receipt for a packet was verified."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One happening; ``number`` grows by one per event since the agent started."""

    number: int
    kind: EventKind
    facts: Mapping[str, EventFact]


class EventHub:
    """Where events are published and read. Safe from every thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._kept: collections.deque[Event] = collections.deque(maxlen=_KEPT)
        self._readers: set[Callable[[Event | None], None]] = set()
        self._closed = False

    def publish(self, kind: EventKind, **facts: EventFact) -> Event:
        """Tell everybody who listens; never blocks and never fails because of a reader."""
        with self._lock:
            self._number += 1
            event = Event(self._number, kind, facts)
            self._kept.append(event)
            for reader in self._readers:
                reader(event)
        return event

    @property
    def listened(self) -> bool:
        """Whether anybody reads right now."""
        with self._lock:
            return bool(self._readers)

    def close(self) -> None:
        """End every reader's stream; later readers get what was kept and end at once."""
        with self._lock:
            self._closed = True
            for reader in self._readers:
                reader(None)

    async def read(self, after: int | None = None) -> AsyncGenerator[Event, None]:
        """Events as they happen, beginning with the kept ones later than ``after``."""
        inbox: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=_KEPT)
        loop = asyncio.get_running_loop()

        def offer(event: Event | None) -> None:
            if inbox.full():
                inbox.get_nowait()
            inbox.put_nowait(event)

        def hand_over(event: Event | None) -> None:
            # A loop that was closed has no readers left to tell.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(offer, event)

        with self._listening(hand_over, after) as missed:
            for event in missed:
                yield event
            while (latest := await inbox.get()) is not None:
                yield latest

    @contextlib.contextmanager
    def _listening(self, reader: Callable[[Event | None], None], after: int | None) -> Iterator[list[Event]]:
        with self._lock:
            missed = [] if after is None else [event for event in self._kept if event.number > after]
            self._readers.add(reader)
            if self._closed:
                reader(None)
        try:
            yield missed
        finally:
            with self._lock:
                self._readers.discard(reader)
