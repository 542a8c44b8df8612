"""After claims were made, nothing the agent wrote holds a template or a picture of a finger."""

import base64
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.stage import Stage, wait_until
from tests.flow.walk import claim

PIECE = 24
"""Bytes of a template or picture that count as a find: four minutiae, or 24 pixels in a row that vary."""


def written_files(stage: Stage) -> dict[Path, bytes]:
    """Every file below the stage: agent, head office, logs, settings."""
    return {path: path.read_bytes() for path in stage.folder.rglob("*") if path.is_file()}


def pieces(content: bytes) -> set[bytes]:
    """Pieces at every 6th place (the size of one minutia), telling ones only."""
    found = {content[place : place + PIECE] for place in range(0, len(content) - PIECE, 6)}
    return {piece for piece in found if len(set(piece)) > 8}


def disguises(piece: bytes) -> tuple[bytes, ...]:
    """The ways bytes get into text by accident: raw, hex, base64, a Python literal."""
    return (
        piece,
        piece.hex().encode(),
        piece.hex().upper().encode(),
        base64.b64encode(piece)[:-4],
        repr(piece)[2:-1].encode(),
    )


def finds(needles: set[bytes], files: dict[Path, bytes]) -> list[str]:
    return [
        path.name
        for path, content in files.items()
        for piece in needles
        if any(disguise in content for disguise in disguises(piece))
    ]


def chip_templates(counter: VirtualCounter) -> list[bytes]:
    """What the chips of the two holders carry."""
    persons = [counter.person(number) for number in (1, 2)]
    return [template for one in persons for template in (one.right_template, one.left_template) if template]


@pytest.mark.pcsc
def test_no_template_and_no_picture_in_any_file_or_log(stage: Stage, counter: VirtualCounter) -> None:
    """A claim that matches and one that falls back, at the most talkative log level: only ciphertext is on disk."""
    counter.insert_card(1)
    counter.touch(2)
    claim(stage, "matches")
    counter.insert_card(2)
    counter.touch(0)
    claim(stage, "differs", {"kpj": "99ZZ0000002"})
    wait_until(lambda: stage.waiting() == 0, 60, "the queue should drain")
    stage.stop_agent()
    files = written_files(stage)
    stage.start_agent()
    assert any(path.name == "agent.log" and b"TRAFFIC" in content for path, content in files.items())

    templates = chip_templates(counter)
    minutiae = set().union(*(pieces(template[28:]) for template in templates))
    assert len(minutiae) > 100
    assert finds(minutiae, files) == []

    fingers = counter.fingers
    pictures = [fingers.impression(finger, number) for finger, number in itertools.product((2, 0), (2, 3))]
    rows = set().union(*(pieces(picture[row].tobytes()) for picture in pictures for row in range(100, 280, 20)))
    assert len(rows) > 100
    assert finds(rows, files) == []

    magic = (b"FMR\x00", b"FIR\x00", b"\x89PNG\r\n", b"II*\x00", b"BM\x36")
    assert [path.name for path, content in files.items() if any(mark in content for mark in magic)] == []


def test_the_search_would_find_what_it_looks_for(tmp_path: Path, counter: VirtualCounter) -> None:
    """A build that writes a template in hex, or a picture uncompressed, is caught."""
    template = chip_templates(counter)[0]
    leaking = tmp_path / "agent.log"
    leaking.write_text("DEBUG template " + template.hex())
    assert finds(pieces(template[28:]), {leaking: leaking.read_bytes()}) != []
    picture = np.ascontiguousarray(counter.fingers.impression(2, 2))
    bitmap = tmp_path / "finger.bmp"
    cv2.imwrite(str(bitmap), picture)
    assert finds(pieces(picture[200].tobytes()), {bitmap: bitmap.read_bytes()}) != []
