"""Traffic that was written down: nothing of anybody in it, and the real driver reads it again."""

import datetime
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.card import synthetic_mark
from drivers.card.base import CardReader
from drivers.card.ektp.read import read_card
from drivers.card.ektp.record import CardRecord
from drivers.card.emrtd.read import read_passport
from drivers.card.errors import CardRemovedError, StatusWordError
from drivers.card.pair import connected_pair
from drivers.card.recorder import Recorder
from drivers.card.recording import CARD, SAM, Recording, RecordingError, without_number
from drivers.card.replayer import OtherCommandError, Replay
from drivers.card.virtual import invented
from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.chip import NXP_A, PROFILES, TYPE_B, ChipProfile
from drivers.card.virtual.emulator import Emulator
from drivers.card.virtual.faults import Faults, MissingFinger
from drivers.card.virtual.inprocess import InProcessReader
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.sam import VirtualSam
from drivers.errors import DeviceError
from tests.drivers.card.reading import PERSON, Altered

RECORDINGS = Path(__file__).resolve().parents[2] / "recordings"
HOLDER = synthetic_holder(1)


def _real(card: Emulator) -> Emulator:
    """The same card, not saying that it is synthetic: as real ones do not."""
    return Altered(card, lambda apdu, answer: b"\x6e\x00" if apdu == synthetic_mark.QUESTION else answer())


def _recorder(folder: Path, *, open_synthetic: bool = False, keep: int = 20) -> Recorder:
    seconds = itertools.count()
    moment = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
    return Recorder(
        folder,
        lambda: moment + datetime.timedelta(seconds=next(seconds)),
        open_synthetic=open_synthetic,
        keep=keep,
    )


def _read(card: CardReader, sam: CardReader) -> CardRecord | DeviceError:
    try:
        with connected_pair(card, sam) as (card_connection, sam_connection):
            return read_card(card_connection, sam_connection, invented.sam_secrets())
    except DeviceError as error:
        return error


def _recorded(
    folder: Path, card: Emulator, sam: Emulator | None = None, *, open_synthetic: bool = False
) -> tuple[CardRecord | DeviceError, str]:
    """A read, and the file that came of it."""
    recorder = _recorder(folder, open_synthetic=open_synthetic)
    outcome = _read(*recorder.pair(InProcessReader(card, "card"), InProcessReader(sam or VirtualSam(), "SAM")))
    (file,) = folder.glob("*.jsonl")
    return outcome, file.read_text(encoding="ascii")


def _played(text: str) -> tuple[CardRecord | DeviceError, Replay]:
    replay = Replay(Recording.parse(text))
    return _read(replay.card, replay.sam), replay


def _secrets(chip: ChipProfile) -> list[bytes]:
    """What must never be in a file, in pieces long enough to be no accident."""
    assert PERSON.right_template is not None
    assert PERSON.left_template is not None
    found = [field.encode() for field in PERSON.fields if len(field) > 5]
    found += [invented.PCID, invented.CONFIG, invented.sam_secrets().password()[:16]]
    found += [PERSON.photo[20:28], PERSON.photo[300:308], PERSON.signature_image[400:408]]
    found += [PERSON.right_template[30:38], PERSON.left_template[60:68], chip.serial]
    return [*found, invented.card_control(chip.working_uid, chip.control_length)[:8]]


def _in(text: str, secret: bytes) -> bool:
    return any(
        form in text for form in (secret.hex(), secret.hex().upper(), secret.decode("latin-1"), repr(secret)[2:-1])
    )


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_masked_recording_holds_nothing_of_card_or_sam(tmp_path: Path, chip: ChipProfile) -> None:
    """What a technician sends in: lengths and status words, no field, picture, template, number or password."""
    outcome, text = _recorded(tmp_path, _real(VirtualEktp(PERSON, chip)), open_synthetic=True)
    assert isinstance(outcome, CardRecord)
    assert [place for place, secret in enumerate(_secrets(chip)) if _in(text, secret)] == []
    assert '"answer": ' not in text
    assert Recording.parse(text).opened[CARD].atr == without_number(chip.atr)
    bodies = {json.loads(line).get("body") for line in text.splitlines()} - {None}
    assert bodies == {f"02{file}" for file in ("7F0A", "6FF2", "6FF0")}


def test_virtual_card_is_masked_too_unless_somebody_asks(tmp_path: Path) -> None:
    """Open is never the default."""
    _, text = _recorded(tmp_path, VirtualEktp(PERSON))
    assert [place for place, secret in enumerate(_secrets(NXP_A)) if _in(text, secret)] == []


def test_one_real_card_among_those_connected_masks_all(tmp_path: Path) -> None:
    """A virtual SAM's answers carry what the card holds."""
    _, text = _recorded(tmp_path, _real(VirtualEktp(PERSON)), VirtualSam(), open_synthetic=True)
    assert [place for place, secret in enumerate(_secrets(NXP_A)) if _in(text, secret)] == []


def test_open_recording_still_holds_no_password(tmp_path: Path) -> None:
    """Not even that of a SAM that opens nothing: nobody gets used to seeing one there."""
    _, text = _recorded(tmp_path, VirtualEktp(PERSON), open_synthetic=True)
    assert _in(text, PERSON.fields[13].encode())
    for secret in (invented.PCID, invented.CONFIG, invented.sam_secrets().password()):
        assert not _in(text, secret)


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_open_recording_is_read_again_to_the_last_byte(tmp_path: Path, chip: ChipProfile) -> None:
    """The same record out of a file as out of the card."""
    outcome, text = _recorded(tmp_path, VirtualEktp(PERSON, chip), open_synthetic=True)
    again, replay = _played(text)
    assert isinstance(outcome, CardRecord)
    assert isinstance(again, CardRecord)
    assert replay.finished
    assert (again.biodata, again.card_type, again.warnings, again.data_signature, again.sam_uid) == (
        outcome.biodata,
        outcome.card_type,
        outcome.warnings,
        outcome.data_signature,
        outcome.sam_uid,
    )
    same = again.photo == outcome.photo and [bytes(one.view()) for one in again.templates] == [
        PERSON.right_template,
        PERSON.left_template,
    ]
    assert same


@pytest.mark.parametrize("chip", PROFILES, ids=lambda chip: chip.name)
def test_masked_recording_is_read_again_to_its_end(tmp_path: Path, chip: ChipProfile) -> None:
    """Every exchange of a good read, with nobody's data of the same lengths."""
    outcome, text = _recorded(tmp_path, _real(VirtualEktp(PERSON, chip)))
    again, replay = _played(text)
    assert isinstance(outcome, CardRecord)
    assert isinstance(again, CardRecord)
    assert replay.finished
    assert again.card_type is outcome.card_type
    assert [len(one) for one in again.templates] == [len(one) for one in outcome.templates]
    assert (len(again.photo), len(again.signature_image)) == (len(outcome.photo), len(outcome.signature_image))
    assert (again.warnings, again.data_signature) == (outcome.warnings, outcome.data_signature)
    assert (again.biodata.nik, again.biodata.name) == ("9901010101700001", "PESERTA UJI SATU")


FAILURES: dict[str, tuple[Faults, Faults]] = {
    "torn off": (Faults(tear_at=30), Faults()),
    "SAM pulled out": (Faults(), Faults(tear_at=20)),
    "memory failure inside secure messaging": (Faults(inner_status_at=6), Faults()),
    "another application": (Faults(unknown_chip=True), Faults()),
    "two cards": (Faults(two_cards=True), Faults()),
    "wrong MAC": (Faults(wrong_mac_at=5), Faults()),
    "SAM refuses": (Faults(), Faults(wrong_pcid=True)),
    "last chunk torn": (Faults(truncated_file=0x6FF5), Faults()),
    "no left finger": (Faults(missing_left_finger=MissingFinger.TINY_RECORD), Faults()),
    "no right finger": (Faults(missing_right_finger=MissingFinger.LENGTH_ZERO), Faults()),
}


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "open"])
@pytest.mark.parametrize("faults", FAILURES.values(), ids=FAILURES)
def test_failed_read_fails_again_at_the_same_place(tmp_path: Path, faults: tuple[Faults, Faults], masked: bool) -> None:
    """Same error, same words, same status word: a test that stays after the card has gone home."""
    card: Emulator = VirtualEktp(PERSON, faults=faults[0])
    outcome, text = _recorded(tmp_path, card, VirtualSam(faults=faults[1]), open_synthetic=not masked)
    again, replay = _played(text)
    assert replay.finished
    assert type(again) is type(outcome)
    if isinstance(outcome, DeviceError) and isinstance(again, DeviceError):
        assert (again.doing, getattr(again, "sw", None)) == (outcome.doing, getattr(outcome, "sw", None))
    else:
        assert isinstance(outcome, CardRecord)
        assert isinstance(again, CardRecord)
        assert again.warnings == outcome.warnings


def test_changed_driver_is_told_from_an_unchanged_one(tmp_path: Path) -> None:
    """A regression test that plays something else than was recorded would prove nothing."""
    _, text = _recorded(tmp_path, VirtualEktp(PERSON), open_synthetic=True)
    lines = text.splitlines()
    for place, instead in ((4, lines[5]), (len(lines) - 1, None)):
        changed = lines[:place] + ([instead] if instead else []) + lines[place + 1 :]
        with pytest.raises(OtherCommandError):
            _played("\n".join(changed))


def test_open_passport_is_read_again_and_a_masked_one_to_its_authentication(tmp_path: Path) -> None:
    """The host's own random numbers are drawn anew by whoever plays: the test hands in those of the recording."""
    for open_synthetic in (True, False):
        folder = tmp_path / str(open_synthetic)
        reader = _recorder(folder, open_synthetic=open_synthetic).alone(InProcessReader(VirtualPassport(HOLDER)))
        with reader.connect() as card:
            read_passport(card, HOLDER.key, random=bytes).wipe()
        (file,) = folder.glob("*.jsonl")
        text = file.read_text()
        assert not _in(text, HOLDER.zone[:20].encode())
        replay = Replay(Recording.parse(text))
        with replay.card.connect() as card:
            if open_synthetic:
                record = read_passport(card, HOLDER.key, random=bytes)
                assert record.holder == HOLDER.fields
                record.wipe()
            else:
                with pytest.raises(DeviceError, match="opening the chip with the machine-readable zone"):
                    read_passport(card, HOLDER.key, random=bytes)


def test_files_are_the_owners_alone_and_the_oldest_go(tmp_path: Path) -> None:
    """A recorder somebody forgot to switch off does not fill the disk."""
    folder = tmp_path / "recordings"
    recorder = _recorder(folder, keep=3)
    for _ in range(5):
        _read(*recorder.pair(InProcessReader(VirtualEktp(PERSON)), InProcessReader(VirtualSam())))
    files = sorted(folder.glob("*.jsonl"))
    assert [file.name for file in files] == [f"card-20261120T00000{second}.000000.jsonl" for second in (2, 3, 4)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_recorder_that_cannot_write_stops_no_claim(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, or a folder of somebody else's: the card is read, the log says what is missing."""
    caplog.set_level(logging.WARNING)
    (tmp_path / "recordings").write_text("not a folder")
    recorder = _recorder(tmp_path / "recordings")
    outcome = _read(*recorder.pair(InProcessReader(VirtualEktp(PERSON)), InProcessReader(VirtualSam())))
    assert isinstance(outcome, CardRecord)
    assert "nothing is recorded" in caplog.text
    recorder = _recorder(tmp_path / "full")
    with recorder.alone(InProcessReader(VirtualEktp(PERSON))).connect() as connection:
        assert recorder._file is not None
        recorder._file.close()
        recorder._file = full = Path("/dev/full").open("w", buffering=1)  # noqa: SIM115 - the recorder closes it
        assert connection.transmit(bytes.fromhex("FFCA000000")).endswith(b"\x90\x00")
        assert full.closed
    assert not recorder._connected
    assert "nothing more is recorded" in caplog.text


def test_number_of_a_type_b_card_is_not_in_its_recorded_atr() -> None:
    """Such readers copy it into the ATR; what is left is a valid ATR."""
    blank = without_number(TYPE_B.atr)
    assert blank.hex().upper() == "3B8C80015000000000" + TYPE_B.atr[9:-1].hex().upper() + blank[-1:].hex().upper()
    check = 0
    for byte in blank[1:]:
        check ^= byte
    assert check == 0
    assert without_number(NXP_A.atr) == NXP_A.atr


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"mpos_apdu_recording": 2}',
        '{"mpos_apdu_recording": 1}\n{"who": "card"}',
        '{"mpos_apdu_recording": 1}\n{"who": "card", "reader": "x", "atr": "zz", "synthetic": true}',
    ],
)
def test_other_files_are_refused_by_name(text: str) -> None:
    """Somebody's log, or a file of a later version."""
    with pytest.raises(RecordingError):
        Recording.parse(text)


def test_side_that_was_not_recorded_has_no_card(tmp_path: Path) -> None:
    """A passport's recording played to somebody who asks for a SAM."""
    reader = _recorder(tmp_path).alone(InProcessReader(VirtualPassport(HOLDER)))
    with reader.connect() as card:
        card.transmit(bytes.fromhex("0084000008"))
    (file,) = tmp_path.glob("*.jsonl")
    replay = Replay(Recording.parse(file.read_text()))
    assert replay.card.wait_for_card(0.0)
    assert not replay.sam.wait_for_card(0.0)
    with pytest.raises(DeviceError, match="none was recorded"):
        replay.sam.connect()


# --- recordings that stay ---


def _whole(record: CardRecord | DeviceError) -> None:
    assert isinstance(record, CardRecord)
    assert record.biodata.name == "PESERTA UJI SATU"
    assert len(record.templates) == 2


def _torn(error: CardRecord | DeviceError) -> None:
    assert isinstance(error, CardRemovedError)


def _memory(error: CardRecord | DeviceError) -> None:
    assert isinstance(error, StatusWordError)
    assert (error.sw, error.doing) == (0x6581, "reading biodata")


KEPT: dict[str, Callable[[CardRecord | DeviceError], None]] = {
    "ektp-type-a-open": _whole,
    "ektp-type-b-masked": _whole,
    "ektp-torn-off-masked": _torn,
    "ektp-memory-failure-masked": _memory,
}


@pytest.mark.parametrize("name", KEPT)
def test_recordings_of_the_tree_are_read_as_ever(name: str) -> None:
    """Made of synthetic cards; a driver that sends something else than it used to is noticed here."""
    text = (RECORDINGS / f"{name}.jsonl").read_text(encoding="ascii")
    outcome, replay = _played(text)
    KEPT[name](outcome)
    assert replay.finished


def test_every_recording_of_the_tree_is_played_and_the_open_one_is_synthetic() -> None:
    """Nobody adds one that no test plays, or one of a real card."""
    assert {path.stem for path in RECORDINGS.glob("*.jsonl")} == set(KEPT)
    for name in KEPT:
        recording = Recording.parse((RECORDINGS / f"{name}.jsonl").read_text())
        assert set(recording.opened) == {CARD, SAM}
        if any(exchange.answer is not None for exchange in recording.exchanges):
            assert all(opened.synthetic for opened in recording.opened.values())


def make_recordings() -> None:
    """Write the files again after a change of the driver that is meant (``python -m`` and this module's name)."""
    made = {
        "ektp-type-a-open": (VirtualEktp(PERSON), True),
        "ektp-type-b-masked": (VirtualEktp(PERSON, TYPE_B), False),
        "ektp-torn-off-masked": (VirtualEktp(PERSON, faults=Faults(tear_at=30)), False),
        "ektp-memory-failure-masked": (VirtualEktp(PERSON, faults=Faults(inner_status_at=5)), False),
    }
    for name, (card, open_synthetic) in made.items():
        folder = RECORDINGS / name
        _, text = _recorded(folder, card, open_synthetic=open_synthetic)
        (RECORDINGS / f"{name}.jsonl").write_text(text, encoding="ascii")
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


if __name__ == "__main__":
    make_recordings()
