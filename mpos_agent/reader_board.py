"""What the watcher of readers has reported so far: which there are, and where a card lies."""

import threading

from mpos_agent.events import EventHub, EventKind


class ReaderBoard:
    """Keeps the present state and tells every change on. Quick, and safe from every thread."""

    def __init__(self, events: EventHub) -> None:
        self._events = events
        self._lock = threading.Lock()
        self._cards: dict[str, bool] = {}

    def service(self, *, up: bool) -> None:
        """The card service came up, or went down."""
        self._events.publish(EventKind.READER, happened="service_up" if up else "service_down", reader=None)

    def reader(self, name: str, *, there: bool) -> None:
        """A reader or slot appeared, or went away."""
        with self._lock:
            if there:
                self._cards.setdefault(name, False)
            else:
                self._cards.pop(name, None)
        self._events.publish(EventKind.READER, happened="reader_added" if there else "reader_removed", reader=name)

    def card(self, reader: str, *, there: bool) -> None:
        """A card was laid on a reader, or lifted."""
        with self._lock:
            self._cards[reader] = there
        self._events.publish(EventKind.CARD, happened="card_inserted" if there else "card_removed", reader=reader)

    def names(self) -> tuple[str, ...]:
        """Every reader and slot, in order of name."""
        with self._lock:
            return tuple(sorted(self._cards))

    def card_on(self, reader: str | None) -> bool | None:
        """Whether a card lies on that reader; None when nobody reports on it."""
        with self._lock:
            return None if reader is None else self._cards.get(reader)
