"""What head office holds apart is never shown as accepted: not in the queue, not in the status, not on the slip."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config.load import load_settings
from config.schema import Language
from mpos_agent.cli.paper import Paper
from mpos_agent.cli.shell import Shell
from sync.keys import Algorithm
from sync.recipients import RecipientPrivateKey, Suite
from tests.cli.daemon import Daemon, ask, objects, write_settings
from tests.sync.conftest import a_signer
from tests.sync.edge.conftest import Desk, DeviceKeys


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon whose queue holds one accepted packet and one in quarantine."""
    folder = tmp_path_factory.mktemp("h")
    file = write_settings(folder)
    (folder / "state").mkdir(mode=0o700)
    keys = DeviceKeys(a_signer(Algorithm.EDDSA), a_signer(Algorithm.EDDSA), RecipientPrivateKey.generate(Suite.X25519))
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
