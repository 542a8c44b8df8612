"""The published vectors: what they say is what this program does, and what it would make again."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from sync import cbor, checkpoint, commands, document_part, envelope, packet, receipt
from sync.errors import DocumentPartError, EnvelopeError, PacketError, Refusal, StickFileError
from sync.keys import key_id, load_spki
from sync.recipients import RecipientPrivateKey, Suite
from sync.stick import FileName, Kind, unwrap
from tests.vectors import make_wire_vectors

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / "wire" / name).read_text(encoding="ascii"))


def test_every_file_is_in_the_catalogue_with_its_checksum() -> None:
    """Nobody changes a vector, or adds one without saying where it comes from, unseen."""
    listed = tomllib.loads((VECTORS / "catalogue.toml").read_text(encoding="utf-8"))
    wire = {name: entry for name, entry in listed.items() if name.startswith("wire/")}
    assert set(wire) == {f"wire/{file.name}" for file in (VECTORS / "wire").iterdir()}
    for name, entry in wire.items():
        assert hashlib.sha256((VECTORS / name).read_bytes()).hexdigest() == entry["sha256"], name


@pytest.mark.parametrize("name", list(make_wire_vectors.FILES))
def test_the_vectors_are_made_again_byte_for_byte(name: str) -> None:
    """What can be reproduced is, by the independent sender too; the rest stands as it was kept."""
    assert load(name) == make_wire_vectors.FILES[name]()


@pytest.mark.parametrize("vector", load("claim-packets.json"), ids=lambda vector: vector["name"])
def test_packets_that_are_taken(vector: dict[str, str]) -> None:
    """They decode, and encode to the same bytes."""
    data = bytes.fromhex(vector["packet"])
    assert packet.decode(data).encode() == data


@pytest.mark.parametrize("vector", load("refused-packets.json"), ids=lambda vector: vector["name"])
def test_packets_that_are_refused(vector: dict[str, str]) -> None:
    """Each for the reason and at the field the vector names."""
    with pytest.raises(PacketError) as caught:
        packet.decode(bytes.fromhex(vector["packet"]))
    assert (caught.value.refusal.value, caught.value.field) == (vector["refusal"], vector["field"])


@pytest.mark.parametrize("vector", load("document-parts.json")["taken"], ids=lambda vector: vector["name"])
def test_document_parts_that_are_taken(vector: dict[str, str]) -> None:
    """They decode, encode to the same bytes, and have the id in the queue the vector names."""
    data = bytes.fromhex(vector["part"])
    part = document_part.decode(data)
    assert part.encode() == data
    assert str(document_part.packet_id(part.claim_id, part.index, part.part)) == vector["id"]


@pytest.mark.parametrize("vector", load("document-parts.json")["refused"], ids=lambda vector: vector["name"])
def test_document_parts_that_are_refused(vector: dict[str, str]) -> None:
    """Each for the reason and at the field the vector names."""
    with pytest.raises(DocumentPartError) as caught:
        document_part.decode(bytes.fromhex(vector["part"]))
    assert (caught.value.refusal.value, caught.value.field) == (vector["refusal"], vector["field"])


def test_the_refused_packets_show_every_kind_of_fault() -> None:
    """Reasons a packet can be refused for, and the vectors' reasons, are the same; a new one fails here loudly."""
    elsewhere = {
        Refusal.TOO_LONG,  # a vector of half a megabyte would show nothing else
        Refusal.UNKNOWN_ALGORITHM,
        Refusal.UNKNOWN_SUITE,
        Refusal.UNKNOWN_COMPRESSION,
        Refusal.NOT_EXPANDED,
        Refusal.UNKNOWN_CRITICAL,
        Refusal.WRONG_KEY,
        Refusal.BAD_SIGNATURE,
        Refusal.NOT_A_RECIPIENT,
        Refusal.NOT_OPENED,
        Refusal.WRONG_DEVICE,
        Refusal.WRONG_NONCE,
    }
    assert {vector["refusal"] for vector in load("refused-packets.json")} == set(Refusal) - elsewhere


@pytest.mark.parametrize("vector", load("envelopes.json")["envelopes"], ids=lambda vector: vector["name"])
def test_envelopes_open_to_their_packets(vector: dict[str, Any]) -> None:
    """With each recipient's key, after the signature was checked."""
    keys = load("envelopes.json")["recipients"]
    verified = envelope.verify(bytes.fromhex(vector["envelope"]), load_spki(bytes.fromhex(vector["signer_spki"])))
    assert verified.digest.hex() == vector["digest"]
    assert verified.header.device_id == make_wire_vectors.HEADER.device_id
    assert verified.header.created == make_wire_vectors.HEADER.created
    for name in vector["opened_by"]:
        key = RecipientPrivateKey(
            Suite.X25519 if name == "X25519" else Suite.MLKEM768_X25519, bytes.fromhex(keys[name]["secret"])
        )
        assert (key.kid.hex(), key.public.public_key.hex()) == (keys[name]["kid"], keys[name]["public"])
        assert envelope.open_envelope(verified, key).hex() == vector["packet"]


@pytest.mark.parametrize("vector", load("envelopes.json")["refused"], ids=lambda vector: vector["name"])
def test_envelopes_that_are_refused(vector: dict[str, str]) -> None:
    """Their signature would be a good one to a reader who is less strict."""
    key = load_spki(bytes.fromhex(vector["signer_spki"]))
    with pytest.raises(EnvelopeError) as caught:
        envelope.verify(bytes.fromhex(vector["envelope"]), key)
    assert caught.value.refusal.value == vector["refusal"]
    assert isinstance(key, ec.EllipticCurvePublicKey)
    signed = envelope.read_envelope(bytes.fromhex(vector["envelope"])).signed
    r, s = (int.from_bytes(signed.signature[at : at + 32], "big") for at in (0, 32))
    message = cbor.encode(["Signature1", signed.protected, b"", signed.payload])
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def test_the_round_trip_fits_together() -> None:
    """The receipt answers that batch: device, nonce, and the digest of the very envelope in it."""
    vector = load("round-trip.json")
    device, office = (load_spki(bytes.fromhex(vector[name])) for name in ("device_spki", "office_spki"))
    batch = checkpoint.read_batch(bytes.fromhex(vector["batch"]))
    sent = batch.verified(device)
    verified = receipt.verify_receipt(
        bytes.fromhex(vector["receipt"]), {key_id(office): office}, vector["device_id"], bytes.fromhex(vector["nonce"])
    )
    (verdict,) = verified.content.verdicts
    assert (sent.nonce, sent.device_id) == (verified.content.nonce, verified.content.device_id)
    assert verdict.digest == envelope.envelope_digest(batch.packets[0]) == sent.lanes[0].head_hash


def test_orders_and_their_answer_fit_together() -> None:
    """One of each command reads, the lane is frozen, and the next checkpoint answers for every id."""
    vector = load("orders.json")
    device, office = (load_spki(bytes.fromhex(vector[name])) for name in ("device_spki", "office_spki"))
    content = receipt.verify_receipt(
        bytes.fromhex(vector["receipt"]), {key_id(office): office}, vector["device_id"], bytes.fromhex(vector["nonce"])
    ).content
    assert [(head.lane, head.frozen) for head in content.lanes] == [("core", "fork"), ("documents", None)]
    *known, unknown = content.commands
    assert {commands.name_of(commands.read(command)) for command in known} == set(commands.CommandName)
    assert unknown.name not in set(commands.CommandName)
    answer = checkpoint.read_batch(bytes.fromhex(vector["answer"])).verified(device)
    assert answer.commands_done == tuple(command.id for command in known)
    assert [(refused.id, refused.name, refused.reason) for refused in answer.commands_refused] == [
        (unknown.id, unknown.name, "unknown_command")
    ]


def test_a_stick_carries_the_bytes_of_the_wire_and_nothing_else() -> None:
    """Batch and receipt come out of their files unchanged, under names that belong together."""
    vector = load("stick-files.json")
    name = FileName.parse(vector["name"])
    assert name is not None
    assert str(name.answered()) == vector["answered_by"]
    assert unwrap(bytes.fromhex(vector["file"]), Kind.BATCH).hex() == vector["batch"]
    assert unwrap(bytes.fromhex(vector["receipt_file"]), Kind.RECEIPT).hex() == vector["receipt"]


@pytest.mark.parametrize("vector", load("stick-files.json")["refused"], ids=lambda vector: vector["what"])
def test_spoilt_files_on_a_stick_are_refused_by_name(vector: dict[str, str]) -> None:
    """Each for the reason and at the field the vector names."""
    with pytest.raises(StickFileError) as caught:
        unwrap(bytes.fromhex(vector["file"]), Kind.BATCH)
    assert (caught.value.refusal.value, caught.value.field) == (vector["refusal"], vector["field"])
