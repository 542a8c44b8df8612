"""Messages of a version or suite head office does not speak: each refused, or set aside, by its own name."""

from pathlib import Path
from typing import Any

import pytest

from head_office import custody, quarantine
from head_office.errors import UnknownVersionError
from sync import cbor, checkpoint, cose, enrolment, envelope
from sync.envelope import Lane, envelope_digest
from sync.receipt import Verdict
from tests.head_office.conftest import Office, Service
from tests.head_office.device import Device


def batch_of(device: Device, checkpoint_map: object, *, version: int = 1, algorithm: int | None = None) -> bytes:
    """A batch whose checkpoint says what it likes, signed by the device."""
    alg = device.signer.algorithm if algorithm is None else algorithm
    headers = {cose.ALG: int(alg), cose.KID: device.signer.kid, cose.TYP: checkpoint.TYP}
    signed = cose.sign(cbor.encode(headers), cbor.encode(checkpoint_map), device.signer)
    return cbor.encode([version, signed, []])


@pytest.mark.parametrize(
    "changes", [{"version": 2}, {"checkpoint": 2}, {"algorithm": -48}], ids=["batch", "checkpoint", "algorithm"]
)
def test_a_batch_of_tomorrow_is_refused_as_one(office: Office, changes: dict[str, Any]) -> None:
    """The device keeps everything, and its people read that one of the two programs is to be updated."""
    device = office.device()
    changed = dict(changes)
    members = device.checkpoint().to_map() | {"version": changed.pop("checkpoint", 1)}
    with pytest.raises(UnknownVersionError):
        office.ingest.receive(device.tls_certificate, batch_of(device, members, **changed))
    assert office.stored() == []


def sealed_tomorrow(device: Device, *begin: Any, signer: Any = None) -> bytes:
    """An envelope of version two, next in its chain; ``begin`` in place of what every version begins with."""
    chain = device.chains[Lane.CORE]
    usual = [2, device.device_id, "core", chain.epoch, chain.next_seq]
    array = [*(begin or usual), "whatever version two brings"]
    headers = cose.protect(envelope.TYP, device.signer.algorithm, device.signer.kid, {envelope.HEADER_LABEL: array})
    later = cose.sign(headers, b"sealed in another way", signer or device.signer)
    chain.next_seq, chain.head = chain.next_seq + 1, envelope_digest(later)
    return later


def test_an_envelope_of_tomorrow_keeps_its_place_as_evidence(office: Office) -> None:
    """Alone it stays with the device; with an authentic one behind it, it does not hold the queue up."""
    device = office.device()
    later = sealed_tomorrow(device)
    assert office.verdicts(device, later) == [(Verdict.RETRY_LATER, "unknown_version")]
    assert office.verdicts(device, later, device.seal()) == [
        (Verdict.QUARANTINED, "unknown_version"),
        (Verdict.ACCEPTED, None),
    ]
    assert len(office.claims()) == 1
    # The reply was lost: alone it is known by its place and digest.
    assert office.verdicts(device, later) == [(Verdict.QUARANTINED, "unknown_version")]


def test_a_queue_of_tomorrow_is_named_packet_by_packet_and_waits(office: Office) -> None:
    """The device was updated first: each verdict has place, digest and reason, and the list says who is behind."""
    device = office.device()
    packets = [sealed_tomorrow(device) for _ in range(3)]
    told = office.receive(device, *packets).verdicts
    epoch = device.chains[Lane.CORE].epoch
    assert [(one.lane, one.epoch, one.seq, one.digest) for one in told] == [
        (Lane.CORE, epoch, seq, envelope_digest(packet)) for seq, packet in enumerate(packets, 1)
    ]
    assert {(one.verdict, one.reason) for one in told} == {(Verdict.RETRY_LATER, "unknown_version")}
    assert office.stored() == []
    assert {(one.seq, one.reason, one.state) for one in quarantine.entries(office.ledger)} == {
        (seq, "unknown_version", "kept_by_device") for seq in (1, 2, 3)
    }
    assert office.alarm_kinds() == []


@pytest.mark.parametrize("fault", ["signature", "device", "lane", "number", "short", "older"])
def test_what_is_not_signed_or_does_not_begin_as_every_version_is_named_nothing(office: Office, fault: str) -> None:
    """No word about a place that the device has not signed."""
    device, other = office.device("SN-1"), office.device("SN-2")
    epoch = device.chains[Lane.CORE].epoch
    begin: list[Any] = {
        "device": [2, other.device_id, "core", epoch, 1],
        "lane": [2, device.device_id, "express", epoch, 1],
        "number": [2, device.device_id, "core", epoch, 0],
        "short": [2, device.device_id],
        "older": [0, device.device_id, "core", epoch, 1],
    }.get(fault, [])
    later = sealed_tomorrow(device, *begin, signer=other.signer if fault == "signature" else None)
    assert office.verdicts(device, later) == []
    assert office.stored() == []


def test_one_of_tomorrow_takes_no_place_but_its_own(office: Office) -> None:
    """Sent right before the successor of another packet: it is not taken for the evidence of that one's place."""
    device = office.device()
    assert office.verdicts(device, device.seal(number=1)) == [(Verdict.ACCEPTED, None)]
    device.seal(number=2)
    third = device.seal(number=3)
    fourth = sealed_tomorrow(device)
    told = office.verdicts(device, fourth, third)
    assert told == [(Verdict.RETRY_LATER, "unknown_version"), (Verdict.RETRY_LATER, "gap")]
    assert len(office.stored()) == 1


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({cose.ALG: 99}, "unknown_suite"),
        ({cose.ALG: 3, cose.CRIT: [envelope.ZIP_LABEL], envelope.ZIP_LABEL: "brotli"}, "unknown_compression"),
    ],
)
def test_what_can_not_be_opened_yet_is_in_custody_with_its_reason(
    office: Office, monkeypatch: pytest.MonkeyPatch, header: dict[int, Any], reason: str
) -> None:
    """A device ahead of head office loses nothing: the sealed bytes wait, and the claim behind them is opened."""
    device = office.device()
    with monkeypatch.context() as patch:
        patch.setattr(envelope, "ZSTD_HEADER", cbor.encode(header))
        sealed = device.seal(number=1)
    assert office.verdicts(device, sealed, device.seal(number=2)) == [(Verdict.ACCEPTED, None)] * 2
    assert len(office.claims()) == 1
    assert [row["reason"] for row in custody.quarantined(office.ledger)] == [reason]


def test_over_the_wire_the_refusal_has_a_name_and_a_hint(service: Service, tmp_path: Path) -> None:
    """Enrolment and sync alike, with a status no proxy gives."""
    link = service.start()
    device, line = service.enrol(link, tmp_path)
    request: Any = cbor.decode(device.enrol_request("t" * 16), max_bytes=1 << 16)
    for reply in (
        link.post("/v1/enrol", cbor.encode(request | {"version": 2})),
        line.post("/v1/sync", batch_of(device, device.checkpoint().to_map(), version=2)),
    ):
        assert 400 <= reply.status_code < 500
        refusal = enrolment.decode_error(reply.content)
        assert (refusal.error, "update" in refusal.hint) == ("unknown_version", True)
