"""`mpos-agent claim`: whole claims by the command line, with answers from a file or typed."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from drivers.card.virtual.card import VirtualEktp
from drivers.card.virtual.faults import Faults
from drivers.card.virtual.passport import VirtualPassport, synthetic_holder
from drivers.card.virtual.person import synthetic_person
from mpos_agent.api.callers import Scope
from mpos_agent.demo.stage import toml
from mpos_agent.outcomes import Exit
from tests.api.rig import FORM, NOW, OPERATOR, SUPERVISOR, Rig, Rigs, start_claim
from tests.cli.daemon import PATIENCE_S, PROGRAM, objects

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "operator": {"id": OPERATOR[0], "pin": OPERATOR[1]},
    "claim": {"programme": "JHT", "reason_code": "RESIGN", "segment": "PU"},
    "consent": {"given": True, "method": "ON_SCREEN"},
    "card": {"tries": 1},
    "finger": {"tries": 1},
    "fallback": {
        "reason": "NO_TEMPLATE_ON_CHIP",
        "supervisor_id": SUPERVISOR[0],
        "pin": SUPERVISOR[1],
        "photo_compare": "SAME",
    },
    "form": FORM,
}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """An enrolled agent with a card that holds no finger, so that no claim waits for the matcher."""
    with Rigs(tmp_path) as made:
        (tmp_path / "token").touch(mode=0o600)
        (tmp_path / "token").write_text(made.callers.add("terminal", Scope.COUNTER, NOW))
        (tmp_path / "agent.toml").write_text('[agent]\nrun_dir = "run"\nstate_dir = "state"\n')
        yield made


def claim(
    rig: Rig, *arguments: str, answers: Mapping[str, Mapping[str, Any]] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command, to its end, against the rig's agent."""
    if answers is not None:
        file = rig.folder / "answers.toml"
        file.write_text(toml(answers))
        arguments = ("--answers", str(file), *arguments)
    fixed = ("--config", str(rig.folder / "agent.toml"), "--token-file", str(rig.folder / "token"))
    return subprocess.run(
        [*PROGRAM, "claim", *arguments, *fixed],
        input=typed,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def without(section: str) -> dict[str, Mapping[str, Any]]:
    """The answers without one section."""
    return {name: values for name, values in ANSWERS.items() if name != section}


PASSPORT: Mapping[str, Mapping[str, Any]] = {
    **{name: values for name, values in ANSWERS.items() if name != "fallback"},
    "claim": {"programme": "JHT", "reason_code": "LEAVE_WNA", "segment": "PU"},
    "passport": {"mrz": synthetic_holder(1).zone},
    "fallback": {**ANSWERS["fallback"], "reason": "FOREIGNER"},
}


def test_a_foreign_worker_claims_with_the_chip_of_a_passport(rig: Rig) -> None:
    """No e-KTP, no typing: holder from the chip, a second person, a slip."""
    rig.card.remove()
    rig.card.insert(VirtualPassport(synthetic_holder(1)))
    ran = claim(rig, "--json", answers=PASSPORT)
    assert (ran.returncode, ran.stderr) == (Exit.DONE, "")
    steps = {one["step"]: one for one in objects(ran.stdout) if "step" in one}
    assert steps["read_passport"]["happened"] == "PASSPORT_READ"
    assert "read_card" not in steps


def test_a_passport_that_does_not_open_leaves_the_way_by_hand(rig: Rig) -> None:
    """Another passport than the answers are about: told, and identity is typed where the answers have it."""
    rig.card.remove()
    rig.card.insert(VirtualPassport(synthetic_holder(2)))
    ran = claim(rig, answers=PASSPORT)
    assert ran.returncode == Exit.DEVICE
    typed = {"code": "NO_CHIP", "source": "PASSPORT", "identity_no": "ZZ99001", "name": "PEKERJA ASING CONTOH"}
    ran = claim(rig, answers={**PASSPORT, "identity": typed})
    assert (ran.returncode, ran.stderr) == (Exit.DONE, "")
    assert "Chip paspor tidak terbuka" in ran.stdout


def test_an_unattended_claim_ends_with_a_slip(rig: Rig) -> None:
    """Every step is shown, the summary is read back, and the slip carries a reference and no identity number."""
    ran = claim(rig, answers=ANSWERS)
    assert (ran.returncode, ran.stderr) == (Exit.DONE, "")
    for shown in ("Pemberitahuan", "e-KTP terbaca", "Petugas kedua", "Ringkasan", "Tanda terima", "Menunggu dikirim"):
        assert shown in ran.stdout
    assert "9901" not in ran.stdout


def test_for_programs_each_step_is_one_json_object(rig: Rig) -> None:
    """The steps in order, the progress of the card read between them, the result last."""
    ran = claim(rig, "--json", answers=ANSWERS)
    assert ran.returncode == Exit.DONE
    told = objects(ran.stdout)
    steps = [one["step"] for one in told if "step" in one]
    expected = ["start", "consent", "read_card", "fallback", "documents", "form", "summary", "confirm"]
    assert steps == expected
    assert told[-1]["result"] == "QUEUED"
    assert told[-1]["packet"]["state"] == "READY"
    assert told[-1]["slip"]["reference"]
    fractions = [one["fraction"] for one in told if "progress" in one]
    assert fractions == sorted(fractions)


def test_a_card_pulled_out_midway_leaves_the_claim_resumable(rig: Rig) -> None:
    """The command ends with the device's exit code and the line to go on with; the claim then goes to its end."""
    rig.card.insert(VirtualEktp(synthetic_person(1, None, None), faults=Faults(tear_at=20)))
    torn = claim(rig, "--json", answers=ANSWERS)
    assert torn.returncode == Exit.DEVICE
    told = objects(torn.stdout)
    assert [one["error"]["code"] for one in told if "error" in one] == ["card_removed"]
    assert told[-1]["result"] == "OPEN"
    rig.card.insert(VirtualEktp(synthetic_person(1, None, None)))
    again = claim(rig, "--resume", told[-1]["claim_id"], "--json", answers=ANSWERS)
    assert again.returncode == Exit.DONE
    assert objects(again.stdout)[-1]["claim_id"] == told[-1]["claim_id"]


def test_the_newest_open_claim_is_found_by_itself(rig: Rig) -> None:
    """`--resume last` goes on where the counter was left."""
    with rig.operator() as client:
        claim_id = start_claim(client)
    ran = claim(rig, "--resume", "last", "--json", answers=ANSWERS)
    assert ran.returncode == Exit.DONE
    assert objects(ran.stdout)[-1]["claim_id"] == claim_id


@pytest.mark.parametrize("wanted", ["last", "id"])
def test_an_open_claim_is_taken_back(rig: Rig, wanted: str) -> None:
    """The member changes their mind: the claim is erased, and the reason is asked for, never guessed."""
    with rig.operator() as client:
        claim_id = start_claim(client)
    typed = "\n".join([*OPERATOR, "", "1"]) + "\n"
    ran = claim(rig, "--withdraw", claim_id if wanted == "id" else wanted, typed=typed)
    assert ran.returncode == Exit.DONE, ran.stdout + ran.stderr
    assert "Klaim dibatalkan" in ran.stdout
    with rig.operator("again") as client:
        assert client.get("/v1/claims")["claims"] == []
    (row,) = (row for row in rig.agent._parts.audit.rows(claim_id=claim_id) if row.act == "WITHDRAWN")
    assert row.facts["reason"] == "MEMBER_CHANGED_MIND"


def test_without_an_open_claim_there_is_nothing_to_take_back(rig: Rig) -> None:
    """`last` of none is said."""
    ran = claim(rig, "--withdraw", "last", answers={**ANSWERS, "withdraw": {"reason": "OTHER"}})
    assert ran.returncode == Exit.USAGE
    assert "there is no open claim" in ran.stderr


def test_a_chip_that_does_not_read_leads_to_the_papers(rig: Rig) -> None:
    """No chip on the reader, an [identity] section with a code: identity by hand, a second person, a slip."""
    rig.card.remove()
    identity = {
        "code": "NO_CHIP",
        "source": "KTP_MANUAL",
        "nik": "9901014107850001",
        "name": "PESERTA UJI DUA",
        "birth_place": "KOTA UJI",
        "birth_date": "1985-07-01",
        "sex": "PEREMPUAN",
        "address": "JL CONTOH 2",
        "nationality": "WNI",
    }
    fallback = {**ANSWERS["fallback"], "reason": "CARD_OLD"}
    ran = claim(rig, "--json", answers={**ANSWERS, "identity": identity, "fallback": fallback})
    told = objects(ran.stdout)
    assert ran.returncode == Exit.DONE, told[-1]
    steps = [one["step"] for one in told if "step" in one]
    assert steps[3:6] == ["give_chip_up", "identity_by_hand", "fallback"]


@pytest.mark.parametrize("section", ["fallback", "form", "consent"])
def test_a_missing_answer_is_named_and_the_claim_stays_open(rig: Rig, section: str) -> None:
    """The file has nothing for a step: its section is named; nothing is guessed."""
    ran = claim(rig, answers=without(section))
    assert ran.returncode == Exit.CLAIM
    assert f"[{section}]" in ran.stderr
    with rig.operator() as client:
        assert len(client.get("/v1/claims")["claims"]) == 1


def test_an_answer_that_blocks_ends_the_run_with_its_reason(rig: Rig) -> None:
    """A wrong card number in the file: the field and the sentence, exit code for a blocked claim."""
    ran = claim(rig, answers={**ANSWERS, "form": {**FORM, "kpj": "1"}})
    assert ran.returncode == Exit.CLAIM
    assert "KPJ: Nomor KPJ" in ran.stdout
    assert "--resume" in ran.stdout


def test_a_member_who_does_not_confirm_stops_nothing_but_the_claim(rig: Rig) -> None:
    """Without the member's yes nothing is sealed."""
    ran = claim(rig, answers={**ANSWERS, "confirm": {"member_confirms": False}})
    assert ran.returncode == Exit.CLAIM
    with rig.operator() as client:
        assert client.get("/v1/outbox")["waiting"] == 0


def test_a_wrong_pin_is_told_before_anything_is_opened(rig: Rig) -> None:
    """The operator is sent back to number and PIN."""
    ran = claim(rig, answers={**ANSWERS, "operator": {"id": OPERATOR[0], "pin": "000111"}})
    assert ran.returncode == Exit.NOT_ALLOWED
    assert "PIN salah" in ran.stderr


def test_a_mistyped_pin_is_asked_for_again(rig: Rig) -> None:
    """At the terminal a wrong PIN costs one try, not the command; the staff number need not be typed again."""
    ran = claim(rig, typed="\n".join([OPERATOR[0], "000111", "", OPERATOR[1], "", "RESIGN", "", "", ""]) + "\n")
    assert "PIN salah" in ran.stdout
    assert "Klaim tetap terbuka" in ran.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [("[operatr]\n", "did you mean"), ("not toml", "neither TOML nor JSON"), ("[operator]\nid = 'x'", "[claim]")],
)
def test_a_broken_answers_file_is_said_in_words(rig: Rig, content: str, said: str) -> None:
    """A misspelt section, a file that is no TOML, a section that is missing: each named."""
    file = rig.folder / "broken.toml"
    file.write_text(content)
    ran = claim(rig, "--answers", str(file))
    assert ran.returncode in {Exit.SETTINGS, Exit.CLAIM, Exit.NOT_ALLOWED}
    assert "Traceback" not in ran.stderr
    assert said in ran.stderr or ran.returncode == Exit.NOT_ALLOWED


def test_a_person_at_the_terminal_is_led_to_the_slip(rig: Rig) -> None:
    """Numbers and Enter are enough; what was typed wrong is asked for again; the slip comes at the end."""
    with rig.operator() as client:
        other = start_claim(client)
        papers = len(client.get(f"/v1/claims/{other}")["wanted_documents"])
        client.post(f"/v1/claims/{other}/withdraw", {"reason": "ENTERED_TWICE"})
    typed = [
        *OPERATOR,
        *("", "RESIGN", "", "", ""),  # first programme, reason by its code, membership, relation, no ticket
        *("y", "2"),  # the member agrees; the notice was read aloud
        *("", "1", "9", "NO_TEMPLATE_ON_CHIP"),  # Enter chooses no code; a number that is not there; the reason
        *(*SUPERVISOR, "", "1"),  # second person; Enter compares no photo; the same person
        *(["1", "", "", ""] * papers),  # each paper: the first kind, one page, legible, not scanned
        *("1", "", "", "", "", "", "", "n"),  # a wrong KPJ, nothing else, no tax number, no account
        *("99ZZ0000001", "", "", "", "", "", "", "n"),  # corrected
        "y",  # the member confirms
    ]
    ran = claim(rig, typed="\n".join(typed) + "\n")
    assert ran.returncode == Exit.DONE, ran.stdout[-3000:]
    for shown in ("Pemberitahuan", "Petugas kedua sudah menandatangani", "✗ KPJ", "Ringkasan", "Tanda terima"):
        assert shown in ran.stdout


def test_interrupting_the_command_leaves_the_claim_open(rig: Rig) -> None:
    """Standard input ends (a closed terminal): the claim is there to be resumed, and the line for it is shown."""
    ran = claim(rig, typed="\n".join([*OPERATOR, "", "RESIGN", "", "", "", "y"]) + "\n")
    assert ran.returncode == Exit.NOT_QUEUED
    with rig.operator() as client:
        (left,) = client.get("/v1/claims")["claims"]
    assert left["state"] == "DRAFT"
    assert resume_line(rig, left["claim_id"]) in ran.stdout


def resume_line(rig: Rig, claim_id: str) -> str:
    """The command that goes on with this claim at this agent."""
    return f"--resume {claim_id} --config {rig.folder / 'agent.toml'} --token-file {rig.folder / 'token'}"


def test_ctrl_c_at_the_card_ends_in_words(rig: Rig) -> None:
    """Interrupted while a card is waited for: the code of the manual, and the command to go on with."""
    rig.card.remove()
    rig.agent._parts.card._wait_s = 600.0
    fixed = ("--config", str(rig.folder / "agent.toml"), "--token-file", str(rig.folder / "token"))
    (rig.folder / "answers.toml").write_text(toml(ANSWERS))
    running = subprocess.Popen(
        [*PROGRAM, "claim", "--answers", str(rig.folder / "answers.toml"), *fixed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        # Tests that a shell runs in the background have the interrupt ignored, and so would this program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        wait_until(lambda: rig.agent._parts.card.in_use)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE_S)
    finally:
        running.kill()
        running.communicate(timeout=PATIENCE_S)
    with rig.operator() as client:
        (left,) = client.get("/v1/claims")["claims"]
    assert (running.returncode, err.strip()) == (Exit.NOT_QUEUED, "")
    assert "Klaim tetap terbuka" in out
    assert resume_line(rig, left["claim_id"]) in out


@pytest.mark.parametrize("command", ["status", "devices"])
def test_a_missing_sam_is_red_on_the_technicians_screen(rig: Rig, command: str) -> None:
    """Both commands say that the slot is empty and what to do; neither names the slot as if all were well."""
    rig.agent._parts.readers.reader("socket sam.sock", there=True)
    fixed = ("--config", str(rig.folder / "agent.toml"), "--token-file", str(rig.folder / "token"))
    ran = subprocess.run(
        [*PROGRAM, command, *fixed],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert (ran.returncode, ran.stderr) == (Exit.DONE, "")
    assert "SAM tidak ditemukan" in ran.stdout


def test_stopping_the_agent_ends_a_waiting_claim_with_a_sentence(rig: Rig) -> None:
    """The agent goes down while a card is waited for: the command says so and the claim stays."""
    rig.card.remove()
    rig.agent._parts.card._wait_s = 600.0
    ended: list[subprocess.CompletedProcess[str]] = []
    waiting = threading.Thread(target=lambda: ended.append(claim(rig, answers=ANSWERS)))
    waiting.start()
    try:
        wait_until(lambda: rig.agent._parts.card.in_use)
    finally:
        rig.agent.begin_to_stop()
        waiting.join(PATIENCE_S)
    assert ended[0].returncode == Exit.BUSY
    assert "Agen sedang berhenti" in ended[0].stdout + ended[0].stderr


def wait_until(condition: Callable[[], bool]) -> None:
    """Look a few times a second, for as long as a loaded machine may take."""
    for _ in range(int(PATIENCE_S / 0.1)):
        if condition():
            return
        threading.Event().wait(0.1)
    raise AssertionError("waited in vain")
