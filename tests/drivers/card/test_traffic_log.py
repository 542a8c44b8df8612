"""The log at its most talkative holds the shape of the traffic and none of its content."""

import logging

import pytest

from drivers.card.exchange import TRAFFIC
from drivers.card.virtual import invented
from drivers.card.virtual.chip import NXP_A
from drivers.card.virtual.faults import Faults
from tests.drivers.card.reading import PERSON, read


def _every_form(secret: bytes) -> list[str]:
    """How bytes get into a log by accident: hex, spaced hex, repr, text."""
    return [secret.hex(), secret.hex().upper(), secret.hex(" ").upper(), repr(secret)[2:-1], secret.decode("latin-1")]


def test_traffic_log_tells_steps_and_status_words(caplog: pytest.LogCaptureFixture) -> None:
    """Enough to see where a card stopped."""
    with caplog.at_level(TRAFFIC):
        read()
    assert "00 A4 00 00 file 7F0A -> 9000" in caplog.text
    assert "00 F0 00 00, 37 bytes -> 9000" in caplog.text
    assert "00 DD 00 00, 5 bytes -> 6D00" in caplog.text


def test_nothing_of_secrets_holder_or_fingers_is_in_the_most_talkative_log(caplog: pytest.LogCaptureFixture) -> None:
    """SAM password, card number, photo, biodata, templates, and every message that carried them."""
    with caplog.at_level(logging.NOTSET):
        readings = [read(), read(card_faults=Faults(tear_at=40)), read(sam_faults=Faults(wrong_pcid=True))]
    secrets = [invented.PCID, invented.CONFIG, invented.sam_secrets().password(), NXP_A.serial]
    secrets += [PERSON.photo[20:60], PERSON.signature_image[300:340], PERSON.fields[0].encode(), b"PESERTA UJI"]
    secrets += [template[28:60] for template in (PERSON.right_template, PERSON.left_template) if template]
    for reading in readings:
        secrets += [apdu[5:13] for _, apdu, _ in reading.tape if len(apdu) >= 13]
        secrets += [answer[:8] for _, _, answer in reading.tape if len(answer) > 8]
    text = caplog.text + "".join(str(reading.error) for reading in readings)
    found = [index for index, secret in enumerate(secrets) if any(form in text for form in _every_form(secret))]
    assert found == []
    assert len(caplog.records) > 150


def test_log_is_silent_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    """One read is some 120 messages: not at DEBUG."""
    with caplog.at_level(logging.DEBUG):
        read()
    assert caplog.records == []
