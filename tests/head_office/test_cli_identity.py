"""The commands about a device's identity and head office's own keys, as a person types them."""

import contextlib
import io
import json
from datetime import timedelta

import pytest

from head_office.cli import app
from head_office.cli_identity import NotFrozenError
from head_office.commands import chosen, question
from head_office.device_registry import NoSuchDeviceError
from head_office.keys.server_certificate import renew
from head_office.keys.trust import KeysError
from head_office.moment import utc_now
from sync import commands as wire
from sync.commands import NewEpoch
from sync.envelope import Lane
from sync.errors import ReceiptError
from sync.receipt import Verdict
from sync.trust import decode
from tests.head_office.conftest import Office


def run(office: Office, *arguments: str) -> str:
    """One command on the office's folder; gives what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        app([*arguments, "--home", str(office.home.folder)], standalone_mode=False)
    return said.getvalue()


def test_a_frozen_lane_begins_anew_when_a_person_says_so(office: Office) -> None:
    """The command goes out with each receipt and names the chain that ends; a lane that is well needs none."""
    device = office.device()
    office.receive(device, device.seal(number=1))
    with pytest.raises(NotFrozenError):
        run(office, "devices", "new-epoch", device.device_id, "core")
    chain = device.chains[Lane.CORE]
    chain.next_seq, chain.head = 1, bytes(32)
    assert office.verdicts(device, device.seal(number=2)) == [(Verdict.QUARANTINED, "fork")]
    run(office, "devices", "new-epoch", device.device_id, "core")
    (command,) = chosen(office.ledger.read(*question(device.device_id)))
    assert wire.read(command) == NewEpoch(lane=Lane.CORE, epoch=chain.epoch)
    assert [asked.id for asked in office.receive(device).commands] == [command.id]
    device.new_epoch()
    assert office.verdicts(device, device.seal(number=3)) == [(Verdict.ACCEPTED, None)]


def test_unblocking_a_device_lets_it_in_at_once(office: Office) -> None:
    """And naming one that is not there is told."""
    device = office.device()
    run(office, "devices", "block", device.device_id, "--reason", "reported stolen")
    run(office, "devices", "unblock", device.device_id)
    assert office.verdicts(device, device.seal()) == [(Verdict.ACCEPTED, None)]
    with pytest.raises(NoSuchDeviceError):
        run(office, "devices", "unblock", "D-NOBODY000000")


def test_the_list_of_keys_grows_with_each_rotation_and_names_who_has_not_heard(office: Office) -> None:
    """A receipt brings the list to a device with an older one, and to no other."""
    device = office.device()
    run(office, "keys", "rotate", "receipt")
    run(office, "keys", "rotate", "recipient")
    listed = json.loads(run(office, "keys", "list", "--json"))
    assert (listed["serial"], listed["devices_behind"]) == (3, 1)
    assert [key["kind"] for key in listed["keys"]] == ["receipt", "receipt", "recipient", "recipient"]
    told = office.receive(device).trust
    assert told is not None
    trusted = decode(told)
    assert [key.kid.hex() for key in trusted.receipt_keys] == [key["kid"] for key in listed["keys"][:2]]
    known = device.checkpoint(versions={"agent": "0.1.0", "trust": "3"})
    with pytest.raises(ReceiptError, match="wrong_key"):
        # Signed with the newest key from now on, which this made-up device did not really take over.
        device.verified(office.ingest.receive(device.tls_certificate, device.batch(checkpoint=known)))
    assert json.loads(run(office, "keys", "list", "--json"))["devices_behind"] == 0


def test_people_hear_of_a_certificate_that_ends_a_month_before(
    office: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """Thirty days before and no sooner, wherever devices and keys are listed; and that it ended, once it has."""
    for age, word in ((366, ""), (368, "ends on"), (400, "ended on")):
        renew(office.home, [], utc_now() - timedelta(days=age))
        for command in (("devices", "list"), ("keys", "list")):
            run(office, *command)
            told = capsys.readouterr().err
            assert (word in told) if word else told == ""
    assert json.loads(run(office, "keys", "list", "--json"))["server"]["names"] == ["localhost", "127.0.0.1"]


def test_the_only_receipt_key_is_not_retired(office: Office) -> None:
    """Nor one that is not in force."""
    for kid in (office.signer.kid.hex(), "00" * 16):
        with pytest.raises(KeysError):
            run(office, "keys", "retire", kid)


def test_a_damaged_list_of_keys_leaves_the_one_in_force(office: Office) -> None:
    """Receipts go on; the fault is in the log, and the next good file is taken."""
    device = office.device()
    run(office, "keys", "rotate", "receipt")
    good = office.home.trust.read_bytes()
    assert office.receive(device).trust is not None
    office.home.trust.write_bytes(b"rubbish")
    assert office.receive(device).trust is not None
    office.home.trust.write_bytes(good)
    run(office, "keys", "rotate", "receipt")
    told = office.receive(device).trust
    assert told is not None
    assert decode(told).serial == 3
