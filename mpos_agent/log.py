"""Set up the log: one line per happening, readable by people and by the journal, without personal data.

Two walls keep people out of it. The first is how lines are made: :func:`happening` takes a fixed name and
facts that are numbers, yes or no, enum members and short words; bytes, arrays and records are refused. The
second is a net over every finished line, also those of libraries and tracebacks: runs of eight and more digits
(identity, card, account and phone numbers), member card numbers, e-mail addresses and long encoded runs are
masked. A name cannot be caught by a net, therefore no line of ours is ever made from a claim's fields.
"""

import datetime
import enum
import logging
import re
import sys
import uuid
from pathlib import PurePath
from typing import TextIO

TRAFFIC = 5
"""Below DEBUG: each exchange with a device by direction, length and status word; payloads are masked."""

_WORD = re.compile(r"[\w.:/@%+-]{1,120}", re.ASCII)

_NETS = (
    (re.compile(r"(?<![0-9A-Fa-f])\d{2}[A-Z]{2}\d{7}(?!\d)"), "[card number]"),
    (re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"(\\x[0-9a-fA-F]{2}[^\\'\" ]?){4,}"), "[bytes]"),
    (re.compile(r"[A-Za-z0-9+/=]{100,}"), "[encoded]"),
    (re.compile(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{65,}"), "[hex]"),
    (re.compile(r"(?<![\w-])\+?\d(?:[ -]?\d){7,}(?!\w)(?!-\w)"), "[digits]"),
    # Not the last part of a UUID, which may consist of twelve digits.
    (re.compile(r"(?<![0-9a-f]{4}-)\d{12,}"), "[digits]"),
)
# The journal's priorities (sd-daemon(3)): error 3, warning 4, info 6, debug 7.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))

Fact = int | float | bool | str | enum.Enum | uuid.UUID | PurePath | None


def happening(log: logging.Logger, level: int, name: str, /, **facts: Fact) -> None:
    """Write one line: what happened, and facts that cannot hold a person.

    Raises
    ------
    TypeError
        A fact is bytes, an array or a record: our bug, found by the first test that runs the line.
    ValueError
        A text fact is not one short word (identifier, code, address, path).
    """
    if log.isEnabledFor(level):
        log.log(level, "%s", " ".join([name, *(f"{key}={_shown(key, value)}" for key, value in facts.items())]))


def _shown(key: str, value: Fact) -> str:
    if isinstance(value, enum.Enum):
        return str(value.value)
    if value is None or isinstance(value, bool):
        return {None: "-", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, int | uuid.UUID | PurePath):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{key}: a {type(value).__name__} does not go into the log")
    if not _WORD.fullmatch(value):
        raise ValueError(f"{key}: only one short word goes into the log")
    return value


def masked(line: str) -> str:
    """The same line with everything that looks like a person's number or like content masked."""
    for pattern, shown in _NETS:
        line = pattern.sub(shown, line)
    return line


class OneLine(logging.Formatter):
    """``time level part: text``, tracebacks folded into the same line, masked at the very end."""

    def __init__(self, *, journal_prefix: bool) -> None:
        super().__init__()
        self._journal_prefix = journal_prefix

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = masked(" | ".join(part.strip() for part in text.splitlines() if part.strip()))
        if self._journal_prefix:
            priority = next(number for least, number in _PRIORITIES if record.levelno >= least)
            return f"<{priority}>{record.name}: {text}"
        when = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        # uvicorn gives the same number another name when it is loaded.
        level = "TRAFFIC" if record.levelno == TRAFFIC else record.levelname
        return f"{when} {level} {record.name}: {text}"


def set_up(level: str, *, journal_prefix: bool, stream: TextIO | None = None) -> None:
    """Send every logger of this process through one handler on standard error (or ``stream``)."""
    logging.addLevelName(TRAFFIC, "TRAFFIC")
    handler = logging.StreamHandler(stream if stream is not None else sys.stderr)
    handler.setFormatter(OneLine(journal_prefix=journal_prefix))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # These tell of every socket and request; at TRAFFIC it is the devices' traffic that is asked for.
    for name in ("uvicorn", "asyncio", "urllib3", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    if level == "TRAFFIC":
        logging.getLogger(__name__).log(logging.WARNING, "device traffic is logged; payloads are masked")
