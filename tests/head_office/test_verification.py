"""Files checked far from head office: what is genuine, what was changed, what nobody here can tell."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from head_office.export import export
from head_office.keys.first_setup import set_up
from head_office.keys.home import Home
from head_office.moment import utc_now
from head_office.verification import Pins, Proof, verify_file, worst
from sync import cbor, stick
from tests.head_office.conftest import ROOT, Office
from tests.head_office.device import Device

pytestmark = pytest.mark.parametrize("new_ledger_address", ["sqlite"], indirect=True)
"""What is checked has left the ledger; which it was makes no difference."""


def command(*arguments: object, cwd: Path = ROOT, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "head_office.cli", *map(str, arguments)],
        cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture
def pinned(office: Office, tmp_path: Path) -> Path:
    """The folder that is carried to wherever files are checked; made once the device is enrolled."""
    return tmp_path / "pins"


def pins_of(office: Office, folder: Path) -> Pins:
    command("pins", folder, "--home", office.home.folder)
    return Pins.of(
        [(folder / "devices.pem").read_bytes()],
        [(folder / "receipt-keys.pem").read_bytes()],
        (folder / "authority.pem").read_bytes(),
    )


def kinds(office: Office, device: Device) -> dict[str, bytes]:
    """Each kind of file, all of them genuine."""
    packets = [device.seal(number=n) for n in (1, 2)]
    batch = device.batch(*packets)
    receipt = office.ingest.receive(device.tls_certificate, batch)
    return {
        "envelope": packets[0],
        "batch": batch,
        "receipt": receipt,
        "stick batch": stick.wrap(stick.Kind.BATCH, batch),
        "stick receipt": stick.wrap(stick.Kind.RECEIPT, receipt),
        "export": export(office.ledger, office.signer, 2),
    }


def test_every_kind_of_file_is_proved_by_what_was_pinned(office: Office, pinned: Path) -> None:
    """Signature, device, place in the chain and receipt over the digest."""
    device = office.device()
    files = kinds(office, device)
    pins = pins_of(office, pinned)
    for kind, data in files.items():
        assert worst(verify_file(data, pins)) is Proof.PROVED, (kind, verify_file(data, pins))
    envelopes = [one for one in verify_file(files["batch"], pins) if one.what == "envelope"]
    assert [one.facts["seq"] for one in envelopes] == [1, 2]
    assert envelopes[1].facts["follows_the_one_before"] is True
    certificate, envelope, receipt = verify_file(files["export"], pins)
    assert (certificate.what, envelope.facts["device"]) == ("certificate", device.device_id)
    said: Any = receipt.facts["verdicts"]
    assert (said[0]["digest"], said[0]["receipt_no"]) == (envelope.facts["digest"], "R-000000002")


def test_a_changed_byte_anywhere_is_never_proved(office: Office, pinned: Path) -> None:
    """A dozen places spread over each file."""
    files = kinds(office, office.device())
    pins = pins_of(office, pinned)
    for kind, data in files.items():
        for at in range(0, len(data), max(1, len(data) // 12)):
            spoilt = bytearray(data)
            spoilt[at] ^= 0x10
            assert worst(verify_file(bytes(spoilt), pins)) is not Proof.PROVED, (kind, at)


def test_what_is_not_pinned_is_not_called_wrong(office: Office) -> None:
    """Without pins nothing can be proved, and nothing is accused."""
    files = kinds(office, office.device())
    for data in files.values():
        assert worst(verify_file(data, Pins.of([], []))) is Proof.NOT_PINNED


def test_the_wrong_authority_and_a_receipt_over_other_bytes_are_found(
    office: Office, pinned: Path, tmp_path: Path
) -> None:
    """An export is only as good as who vouches for its certificate, and its receipt must be over its own packet."""
    device = office.device()
    files = kinds(office, device)
    pins = pins_of(office, pinned)
    stranger = Home(tmp_path / "stranger")
    set_up(stranger, ["localhost"], utc_now())
    other = Pins.of([], [(pinned / "receipt-keys.pem").read_bytes()], stranger.ca_certificate.read_bytes())
    assert worst(verify_file(files["export"], other)) is Proof.WRONG
    first, second = export(office.ledger, office.signer, 1), files["export"]
    # The receipt of the first around the envelope of the second.
    one: Any = cbor.decode(first, max_bytes=1 << 20)
    two: Any = cbor.decode(second, max_bytes=1 << 20)
    mixed = cbor.encode({**two, "receipt": one["receipt"]})
    assert [(f.what, f.why) for f in verify_file(mixed, pins) if f.proof is Proof.WRONG] == [
        ("receipt", "not over this packet")
    ]


def test_one_device_cannot_pass_off_its_signature_as_anothers(office: Office, pinned: Path) -> None:
    """The certificate says whose key it is; the envelope must say the same."""
    device, other = office.device("SN-1"), office.device("SN-2")
    forger = Device()
    forger.signer, forger.chains, forger.recipients = other.signer, device.chains, device.recipients
    forger.device_id = device.device_id
    forged = forger.seal(number=1)
    pins = pins_of(office, pinned)
    (finding,) = verify_file(forged, pins)
    assert (finding.proof, finding.why) == (Proof.WRONG, f"signed by {other.device_id}")


def test_the_command_needs_nothing_of_head_office(office: Office, pinned: Path, tmp_path: Path) -> None:
    """Exported, carried away with the pins, checked in an empty folder: exit 0, 1 or 3."""
    office.receive(device := office.device(), device.seal(number=1))
    command("pins", pinned, "--home", office.home.folder)
    away = tmp_path / "away"
    away.mkdir()
    file = away / "packet.mpos"
    command("export", "R-000000001", "--to", file, "--home", office.home.folder)
    office.home.folder.rename(tmp_path / "gone")
    done = command("verify", file, "--pins", pinned, "--json", cwd=away)
    assert json.loads(done.stdout)["proof"] == "proved"
    assert command("verify", file, cwd=away, check=False).returncode == 3
    file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    assert command("verify", file, "--pins", pinned, cwd=away, check=False).returncode == 1
    file.write_bytes(b"something else")
    assert command("verify", file, "--pins", pinned, cwd=away, check=False).returncode == 1
    assert command("verify", tmp_path / "nothing", cwd=away, check=False).returncode == 2
    (tmp_path / "gone").rename(office.home.folder)
