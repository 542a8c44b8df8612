"""What head office holds apart is never shown as accepted: not in the queue, not in the status, not on the slip."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config.load import load_settings
from config.schema import Language
from head_office.authenticity import UNKNOWN_KEY
from head_office.checks import Placement
from head_office.elsewhere import OTHER_CLUSTER
from head_office.errors import BadKeyRequestError, HeadOfficeError, RefusedError
from mpos_agent.agent import SentDocument
from mpos_agent.api.replies import sent_document
from mpos_agent.claim.document_store import Sent
from mpos_agent.cli.paper import Paper
from mpos_agent.cli.shell import Shell
from mpos_agent.cli.status import _round
from mpos_agent.cli.verdict import waits_because
from sync.edge.outbox_row import RowState
from sync.edge.settlement import NOT_IN_RECEIPT, OLDER_RECEIPT, OTHER_BYTES
from sync.errors import Cause, Refusal
from sync.keys import Algorithm
from sync.receipt import Verdict
from sync.recipients import RecipientPrivateKey, Suite
from tests.cli.daemon import Daemon, ask, objects, write_settings
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys


def recipient() -> RecipientPrivateKey:
    return RecipientPrivateKey.generate(Suite.X25519)


def every_kind_of(error: type[HeadOfficeError]) -> list[type[HeadOfficeError]]:
    """The class and whatever was made of it."""
    return [error, *(each for below in error.__subclasses__() for each in every_kind_of(below))]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon whose queue holds one accepted packet and one in quarantine."""
    folder = tmp_path_factory.mktemp("h")
    file = write_settings(folder)
    (folder / "state").mkdir(mode=0o700)
    keys = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), recipient())
    desk = Desk(folder / "state" / "agent.db", keys)
    desk.put(1)
    desk.office.quarantine.add(desk.put(2).digest)
    desk.uploader.round()
    desk.database.close()
    with Daemon(file):
        yield file


def test_the_queue_counts_what_is_held_apart(config: Path) -> None:
    """One is on the desk, one waits for somebody to look at it."""
    for command in (["status"], ["outbox"]):
        (told,) = objects(ask(config, *command, "--json").stdout)
        queue = told.get("queue", told)
        assert (queue["waiting"], queue["accepted"], queue["held"], queue["refused"]) == (0, 1, 1, 0)


def test_a_set_aside_queue_stands_first_in_the_status(config: Path) -> None:
    """With its file, its cause and its cure, for as long as the file lies there."""
    file = config.parent / "state" / "agent.db.corrupt-20261120T030405Z"
    file.touch()
    shown = ask(config, "status").stdout
    file.unlink()
    assert "RUSAK" in shown.splitlines()[0]
    assert "jangan dihapus" in shown
    assert file.name in shown
    assert "RUSAK" not in ask(config, "status").stdout


def test_the_queue_shows_why_a_packet_is_held(config: Path) -> None:
    """Beside its number stand the verdict and head office's reason, in both languages."""
    shown = ask(config, "outbox").stdout
    assert "1 diterima; 1 ditahan" in shown
    assert "disimpan, tetapi ditahan: schema" in shown
    assert "stored, but held: schema" in shown
    assert "Ditahan pusat" in ask(config, "status").stdout


@pytest.mark.parametrize(
    ("row", "said", "unsaid"),
    [
        ({"state": "ACKED", "receipt_no": "R-7", "verdict": "accepted", "reason": None}, "R-7", "ditahan"),
        ({"state": "ACKED", "receipt_no": "R-7", "verdict": "duplicate", "reason": None}, "R-7", "ditahan"),
        (
            {"state": "ACKED", "receipt_no": "R-7", "verdict": "quarantined", "reason": "lane_frozen"},
            "disimpan, tetapi ditahan: mesin ini atau salinannya digandakan (lane_frozen)",
            "Kantor pusat menerima",
        ),
        (
            {"state": "DEAD", "receipt_no": None, "verdict": "not_yours", "reason": "wrong_device"},
            "menolak paket ini: dari mesin lain (wrong_device)",
            "Menunggu dikirim",
        ),
        ({"state": "READY", "receipt_no": None, "verdict": None, "reason": None}, "Menunggu dikirim", "menerima"),
        (None, "Menunggu dikirim", "menerima"),
    ],
)
def test_the_slip_tells_accepted_held_refused_and_waiting_apart(
    tmp_path: Path, row: dict[str, Any] | None, said: str, unsaid: str
) -> None:
    """An operator never sends a member away with "accepted" while the claim lies in quarantine."""
    console = Console(file=io.StringIO(), width=200)
    settings_file = write_settings(tmp_path)
    shell = Shell(load_settings(settings_file), settings_file, False, Language.ID, None, console)
    Paper(shell).receipt(row)
    assert isinstance(console.file, io.StringIO)
    assert said in console.file.getvalue()
    assert unsaid not in console.file.getvalue()


WORDS_OF_HEAD_OFFICE = {
    *(placement.value for placement in (Placement.GAP, Placement.EPOCH_UNKNOWN, Placement.SUCCESSOR_FIRST)),
    *(error.code for error in every_kind_of(RefusedError) if error is not BadKeyRequestError),  # of enrolment alone
    UNKNOWN_KEY, OTHER_CLUSTER, Verdict.RETRY_LATER.value,
}  # fmt: skip
"""What head office says of a packet it does not take, and of a request it refuses."""
WORDS_OF_OURS = {*Cause, *Refusal, OTHER_BYTES, OLDER_RECEIPT, NOT_IN_RECEIPT}


@pytest.mark.parametrize("word", sorted(WORDS_OF_HEAD_OFFICE | WORDS_OF_OURS))
def test_why_a_packet_waits_is_said_in_words_of_both_languages(word: str) -> None:
    """Whatever this machine or head office calls it; the word itself stays beside, for the manual."""
    text_id, text_en = waits_because({"last_error": word})
    assert (text_id.endswith(f" ({word})"), text_en.endswith(f" ({word})")) == (True, True)
    assert text_id != text_en
    assert "belum diterima kantor pusat (" not in text_id, "nobody has put it into words"


def test_a_word_nobody_knows_yet_is_shown_as_it_is() -> None:
    """A newer head office has reasons of its own; and a packet that was never sent has none."""
    assert waits_because({"last_error": "moon_phase"})[0] == "belum diterima kantor pusat (moon_phase)"
    assert waits_because({"last_error": None}) == ("belum dikirim", "not sent yet")


def test_a_round_that_left_packets_behind_is_not_shown_as_delivered(tmp_path: Path) -> None:
    """Head office was reached and did not take everything: the number says so, in yellow."""
    settings_file = write_settings(tmp_path)
    shell = Shell(load_settings(settings_file), settings_file, False, Language.ID, None, Console(file=io.StringIO()))
    shown = _round(shell, {"problem": None, "result": "delivered", "sent": 3, "left": 2})
    assert "2 dari 3 paket belum diterima" in shown
    assert "2 of 3 packets not taken yet" in shown
    assert "berhasil" not in shown
    assert "berhasil" in _round(shell, {"problem": None, "result": "delivered", "sent": 3, "left": 0})


def test_parts_that_were_refused_are_not_counted_as_held(tmp_path: Path) -> None:
    """One accepted, one held, one refused, one waiting, one not queued yet: five parts, told apart."""
    desk = Desk(tmp_path / "agent.db", DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), recipient()))
    rows = [desk.put(number) for number in range(4)]
    desk.database.close()
    said: tuple[dict[str, Any], ...] = (
        {"state": RowState.ACKED, "verdict": Verdict.ACCEPTED},
        {"state": RowState.ACKED, "verdict": Verdict.QUARANTINED},
        {"state": RowState.DEAD, "verdict": Verdict.NOT_YOURS},
        {},
    )
    sent = Sent(index=1, type_code="KTP", size_bytes=5, parts=5, sha256="00" * 32)
    far = SentDocument.of(sent, [row._replace(**one) for row, one in zip(rows, said, strict=True)])
    assert (far.queued, far.accepted, far.held, far.refused) == (4, 1, 1, 1)
    settings_file = write_settings(tmp_path)
    console = Console(file=io.StringIO(), width=200)
    Paper(Shell(load_settings(settings_file), settings_file, False, Language.ID, None, console)).sent_documents(
        [sent_document(far).model_dump()]
    )
    assert isinstance(console.file, io.StringIO)
    assert "1 dari 5 bagian, 1 ditahan, 1 ditolak" in console.file.getvalue()
