"""What a recording of card traffic is made of: lines of JSON, and what of an exchange may stand in one. Pure.

A masked exchange keeps header, lengths, status words, the body of a plain SELECT (file ids) and the length prefix of
files; everything else a card or SAM was sent or said is left out. In an open exchange everything stands, except the
body of *open SAM*: only virtual cards are recorded so.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from drivers.card.apdu import Ins
from drivers.card.ektp.files import PREFIX
from drivers.card.ektp.sam import SamIns

FORMAT: Final = 1
CARD, SAM = "card", "sam"

_PUPI: Final = slice(5, 9)
"""Of the ATR of a type B card whose reader copied the whole answer in: the number of the card."""
_ATR_WITH_PUPI: Final = bytes.fromhex("3B8C800150")


class RecordingError(ValueError):
    """A file that is no recording, or of another format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One command and what came of it."""

    who: str
    """``card`` or ``sam``."""
    header: bytes
    """CLA INS P1 P2 of the command."""
    length: int
    """Of the whole command."""
    ms: float
    """How long the answer took."""
    body: bytes | None = None
    """Of the command behind its header; None when it is masked."""
    answer: bytes | None = None
    """Data and status word; None when masked, and when there was none."""
    answer_length: int = 0
    """Data bytes, without the status word."""
    sw: str = ""
    """The last two bytes, hex; empty when there was no answer."""
    inner_sw: str = ""
    """Status word of the card inside an unwrapped answer of the SAM."""
    file_length: int | None = None
    """What the first two bytes of a file said, where this exchange read them."""
    error: str = ""
    """Code of the error that came instead of an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A connection."""

    who: str
    reader: str
    atr: bytes
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole file."""

    opened: Mapping[str, Opened]
    exchanges: tuple[Exchange, ...]

    @classmethod
    def parse(cls, text: str) -> "Recording":
        """Read a file's lines. Raises RecordingError."""
        lines = list(_lines(text))
        if not lines or lines[0] != {"mpos_apdu_recording": FORMAT}:
            raise RecordingError(f"no recording of format {FORMAT}")
        opened: dict[str, Opened] = {}
        exchanges = []
        for line in lines[1:]:
            try:
                if "reader" in line:
                    opened[line["who"]] = Opened(
                        who=line["who"],
                        reader=line["reader"],
                        atr=bytes.fromhex(line["atr"]),
                        synthetic=bool(line["synthetic"]),
                    )
                else:
                    exchanges.append(_exchange(line))
            except (KeyError, TypeError, ValueError) as error:
                raise RecordingError("a line has not the form of a recording's") from error
        return cls(opened, tuple(exchanges))


def first_line() -> str:
    """Says what the file is."""
    return json.dumps({"mpos_apdu_recording": FORMAT})


def opened_line(opened: Opened) -> str:
    """The line of a connection."""
    return json.dumps(
        {
            "who": opened.who,
            "reader": opened.reader,
            "atr": without_number(opened.atr).hex().upper(),
            "synthetic": opened.synthetic,
        }
    )


def exchange_line(exchange: Exchange) -> str:
    """The line of an exchange; what is empty is left out."""
    fields: dict[str, Any] = {
        "who": exchange.who,
        "ms": round(exchange.ms, 1),
        "header": exchange.header.hex().upper(),
        "length": exchange.length,
    }
    for name in ("body", "answer"):
        value: bytes | None = getattr(exchange, name)
        if value is not None:
            fields[name] = value.hex().upper()
    fields |= {"answer_length": exchange.answer_length, "sw": exchange.sw, "inner_sw": exchange.inner_sw}
    fields |= {"file_length": exchange.file_length, "error": exchange.error}
    return json.dumps({name: value for name, value in fields.items() if value not in ("", None)})


def without_number(atr: bytes) -> bytes:
    """An ATR without the number of its card: zeros in its place, the check byte made right again."""
    if not atr.startswith(_ATR_WITH_PUPI) or len(atr) < _PUPI.stop + 1:
        return atr
    blank = atr[: _PUPI.start] + bytes(4) + atr[_PUPI.stop : -1]
    check = 0
    for byte in blank[1:]:
        check ^= byte
    return blank + bytes([check])


class Masker:
    """Turns exchanges of one card or SAM into what may be written down. Follows which file is being read."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._reads_from_start = False

    def take(self, apdu: bytes, answer: bytes, ms: float, *, masked: bool) -> Exchange:
        """One exchange that had an answer."""
        ins, plain = apdu[1], apdu[0] == 0x00
        inner, file_length = b"", None
        if self._who == SAM and plain and ins == SamIns.ENCODE:
            self._reads_from_start = apdu[5:9] == bytes([0x00, Ins.READ_BINARY, 0, 0])
        elif self._who == SAM and plain and ins == SamIns.DECODE and len(answer) >= 4:
            inner = answer[-4:-2]
            file_length = _prefix(answer[:-4]) if self._reads_from_start else None
        elif self._who == CARD and apdu[:4] == bytes([0x00, Ins.READ_BINARY, 0, 0]):
            file_length = _prefix(answer[:-2])
        return Exchange(
            who=self._who,
            header=apdu[:4],
            length=len(apdu),
            ms=ms,
            body=_body(self._who, apdu, masked=masked),
            answer=None if masked else answer,
            answer_length=max(0, len(answer) - 2),
            sw=answer[-2:].hex().upper(),
            inner_sw=inner.hex().upper(),
            file_length=file_length,
        )

    def failed(self, apdu: bytes, error: str, ms: float, *, masked: bool) -> Exchange:
        """One exchange that ended in an error instead."""
        return Exchange(
            who=self._who,
            header=apdu[:4],
            length=len(apdu),
            ms=ms,
            body=_body(self._who, apdu, masked=masked),
            error=error,
        )


def _body(who: str, apdu: bytes, *, masked: bool) -> bytes | None:
    """What may stand of a command: of a masked one only which file it selects, never the SAM's password."""
    if who == SAM and apdu[1] == SamIns.OPEN:
        return None
    select = apdu[0] == 0x00 and apdu[1] == Ins.SELECT
    return apdu[4:] if select or not masked else None


def _prefix(data: bytes) -> int | None:
    return int.from_bytes(data[:PREFIX], "big") if len(data) >= PREFIX else None


def _lines(text: str) -> Iterable[dict[str, Any]]:
    for line in _split(text):
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise RecordingError("a line is no JSON") from error
        if not isinstance(content, dict):
            raise RecordingError("a line is no object")
        yield content


def _split(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line.strip())


def _exchange(line: dict[str, Any]) -> Exchange:
    return Exchange(
        who=str(line["who"]),
        header=bytes.fromhex(line["header"]),
        length=int(line["length"]),
        ms=float(line["ms"]),
        body=bytes.fromhex(line["body"]) if "body" in line else None,
        answer=bytes.fromhex(line["answer"]) if "answer" in line else None,
        answer_length=int(line.get("answer_length", 0)),
        sw=str(line.get("sw", "")),
        inner_sw=str(line.get("inner_sw", "")),
        file_length=int(line["file_length"]) if "file_length" in line else None,
        error=str(line.get("error", "")),
    )
