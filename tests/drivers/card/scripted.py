"""Connections for tests: one that plays answers from a list, one that writes down what passes."""

from collections.abc import Sequence

from drivers.card.base import CardConnection


class ScriptedConnection(CardConnection):
    """Gives the next answer whatever is asked, and keeps what was asked."""

    reader = "scripted reader"
    atr = b"\x3b\x00"

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = [bytes.fromhex(answer) for answer in answers]
        self.sent: list[str] = []

    def transmit(self, apdu: bytes) -> bytes:
        """The next answer."""
        self.sent.append(apdu.hex().upper())
        return self._answers.pop(0)

    def close(self) -> None:
        """Nothing to let go."""


class RecordingConnection(CardConnection):
    """Hands everything to a real connection and writes it into a shared list, in order over both devices."""

    def __init__(self, who: str, inner: CardConnection, tape: list[tuple[str, bytes, bytes]]) -> None:
        self._who, self._inner, self.tape = who, inner, tape
        self.reader, self.atr = inner.reader, inner.atr

    def transmit(self, apdu: bytes) -> bytes:
        """Ask and record."""
        answer = self._inner.transmit(apdu)
        self.tape.append((self._who, apdu, answer))
        return answer

    def close(self) -> None:
        """The inner connection's."""
        self._inner.close()
