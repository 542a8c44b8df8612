"""Bytes that must not outlive their use: fingerprint templates, SAM secrets, chip files."""

from types import TracebackType
from typing import NoReturn, Self


class SensitiveBytes:
    """A buffer that shows nothing of itself and can be overwritten.

    It has no useful ``repr``, cannot be pickled or copied, and compares by identity, so that its content
    reaches neither a log line, a traceback nor a file by accident. Python may have made other copies
    before the bytes came here; :meth:`wipe` overwrites the one copy this object owns.
    """

    __slots__ = ("_buffer",)

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        self._buffer = bytearray(content)

    def __len__(self) -> int:
        return len(self._buffer)

    def __repr__(self) -> str:
        return f"<{len(self._buffer)} sensitive bytes>"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("sensitive bytes are neither pickled nor copied")

    def view(self) -> memoryview:
        """Read-only window on the content; release it before :meth:`wipe`."""
        return memoryview(self._buffer).toreadonly()

    def wipe(self) -> None:
        """Overwrite with zeros; safe to call twice. The length stays, the content is gone."""
        self._buffer[:] = bytes(len(self._buffer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()
