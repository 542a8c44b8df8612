"""How much to send at once: about twenty seconds of the link as it was measured; pure but for what it remembers."""

TARGET_S = 20.0
"""A broken request costs at most this much of a slow line, and a long round trip is spread over this much."""
LEAST_BYTES, MOST_BYTES, FIRST_BYTES = 32 * 1024, 1024 * 1024, 128 * 1024


class BatchSize:
    """Grows by a quarter on success, halves on failure, never beyond what the measured goodput carries."""

    def __init__(self) -> None:
        self.bytes = FIRST_BYTES

    def sent(self, size: int, seconds: float) -> None:
        """A request of ``size`` bytes was answered after ``seconds``."""
        self.bytes = min(MOST_BYTES, self.bytes * 5 // 4)
        if size >= LEAST_BYTES and seconds > 0:
            # A small request measures the round trip, not the line.
            self.bytes = max(LEAST_BYTES, min(self.bytes, int(size / seconds * TARGET_S)))

    def failed(self) -> None:
        """A request brought no answer."""
        self.bytes = max(LEAST_BYTES, self.bytes // 2)
