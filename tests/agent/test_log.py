"""The log tells what happened and never to whom."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers.sensitive import SensitiveBytes
from mpos_agent.log import TRAFFIC, happening, masked, set_up


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is written while a test runs, at the most talkative level."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    set_up("TRAFFIC", journal_prefix=False, stream=stream)
    stream.truncate(0)
    stream.seek(0)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("nik 9901014101900001 read", "nik [digits] read"),
        ("nik 99 0101 410190 0001", "nik [digits]"),
        ("call 080000000001", "call [digits]"),
        ("call +62 800-0000-001", "call [digits]"),
        ("account 0000000001", "account [digits]"),
        ("kpj 99ZZ0000001", "kpj [card number]"),
        ("from peserta.uji@contoh.example now", "from [e-mail] now"),
        (r"got b'\x46\x4d\x52\x00\x20'", "got b'[bytes]'"),
        ("template " + "46" * 60, "template [encoded]"),
        ("claim 01890a5d-ac96-774b-bcce-123456789012 opened", "claim 01890a5d-ac96-774b-bcce-123456789012 opened"),
        ("listens on 127.0.0.1:8765 as 1234567", "listens on 127.0.0.1:8765 as 1234567"),
    ],
)
def test_numbers_of_people_are_masked_and_ids_are_not(line: str, shown: str) -> None:
    """Identity, card, phone and account numbers never reach the journal; what a technician needs does."""
    assert masked(line) == shown


def test_a_traceback_becomes_one_masked_line(lines: io.StringIO) -> None:
    """A crash in code that holds a member's number shows where it was, not the number, and stays one line."""
    try:
        int("9901014101900001x")
    except ValueError:
        logging.getLogger("agent").exception("cannot go on")
    text = lines.getvalue()
    assert text.count("\n") == 1
    assert "ValueError" in text
    assert "9901014101900001" not in text


@pytest.mark.parametrize(
    "fact", [b"FMR\0", bytearray(3), SensitiveBytes(b"FMR"), np.zeros((2, 2)), ["x"], {"nik": "x"}], ids=repr
)
def test_content_is_refused_as_a_fact(lines: io.StringIO, fact: Any) -> None:
    """Bytes, arrays and records cannot be logged by mistake: the line fails in the first test that runs it."""
    with pytest.raises(TypeError):
        happening(logging.getLogger("agent"), logging.INFO, "claim_opened", what=fact)
    assert lines.getvalue() == ""


def test_free_text_is_refused_as_a_fact(lines: io.StringIO) -> None:
    """A name has a space or is not ASCII; a fact is one short word."""
    with pytest.raises(ValueError, match="one short word"):
        happening(logging.getLogger("agent"), logging.INFO, "claim_opened", name="PESERTA UJI SATU")


def test_a_happening_is_one_line_of_key_and_value(lines: io.StringIO) -> None:
    """What is written can be read by a person and cut apart by a program."""
    happening(
        logging.getLogger("mpos_agent.claim"), logging.INFO, "card_read", s=1.25, ok=True, file=Path("/x"), n=None
    )
    assert lines.getvalue().endswith("INFO mpos_agent.claim: card_read s=1.25 ok=yes file=/x n=-\n")


def test_traffic_is_the_most_talkative_level(lines: io.StringIO) -> None:
    """TRAFFIC lies below DEBUG and is written when asked for."""
    logging.getLogger("drivers.card").log(TRAFFIC, "> 00A4 4 bytes")
    assert "TRAFFIC drivers.card: > 00A4 4 bytes" in lines.getvalue()


def test_under_the_journal_a_line_begins_with_its_priority() -> None:
    """The journal sorts by <3> to <7>; it adds the time itself."""
    stream = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up("INFO", journal_prefix=True, stream=stream)
        logging.getLogger("a").error("no")
        logging.getLogger("a").warning("careful")
        logging.getLogger("a").info("yes")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    assert stream.getvalue() == "<3>a: no\n<4>a: careful\n<6>a: yes\n"
