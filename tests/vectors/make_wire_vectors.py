"""Makes the test vectors of the wire format: ``python -m tests.vectors.make_wire_vectors`` from the project's root.

All keys, nonces and times are fixed and all persons made up. What can be reproduced is: claim packets, refused
packets, batch, receipt, and the X25519 envelope, which another implementation (pyhpke and cbor2) makes here with a
fixed ephemeral key. cryptography offers no fixed randomness for the hybrid KEM and for ES256, so those envelopes
are made once and kept: an existing one is not replaced while it still opens. So is the zstd frame of the compressed
envelope, since another version of the library may write another one.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

from sync import cbor, commands, compression, document_part, envelope, packet, receipt
from sync.checkpoint import Checkpoint, CommandRefused, LaneState, StorageMark, sign_batch
from sync.document_part import DocumentPart, MediaType
from sync.envelope import FIRST_SEQ, NO_HASH, Created, Header, Lane
from sync.errors import EnvelopeError, WireError
from sync.keys import P256_ORDER, SoftwareSigner, load_spki, spki
from sync.receipt import Command, LaneHead, PacketVerdict, Receipt, Verdict
from sync.recipients import RecipientPrivateKey, Suite
from sync.stick import FileName, Kind, unwrap, wrap
from tests.sync.people import heir_by_hand, matched_claim

FOLDER = Path(__file__).parent / "wire"
NOW = datetime(2026, 11, 20, 3, 4, 5, 678000, tzinfo=UTC)

DEVICE = SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OFFICE = SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))
TOKEN_KEY = SoftwareSigner(ec.derive_private_key(int.from_bytes(bytes(range(64, 96))), ec.SECP256R1()))
CLASSIC_SECRET = bytes(range(96, 128))
CLASSIC = RecipientPrivateKey(Suite.X25519, CLASSIC_SECRET)
HYBRID_SECRET = bytes(range(128, 192)) + bytes(range(192, 224))
HYBRID = RecipientPrivateKey(Suite.MLKEM768_X25519, HYBRID_SECRET)

HEADER = Header(
    1,
    "dev-000001",
    Lane.CORE,
    bytes(range(16)),
    FIRST_SEQ,
    NO_HASH,
    Created(NOW, 123_456_789_000, bytes(range(16, 32)), -1500, 40),
)
PACKET = matched_claim().encode()


def claim_packets() -> list[dict[str, Any]]:
    """Packets that are taken."""
    return [
        {"name": "matched at a branch", "packet": matched_claim().encode().hex()},
        {"name": "heir in the field, by hand", "packet": heir_by_hand().encode().hex()},
    ]


def refused_packets() -> list[dict[str, Any]]:
    """Packets that are refused, with the named reason and the field."""
    members = cbor.decode(PACKET, max_bytes=1 << 20)
    assert isinstance(members, dict)
    kept = {name: value for name, value in members.items() if name != "kpj"}
    cases = [
        ("a later version", cbor.encode(members | {"schema_version": 2, "novelty": 1})),
        ("another type of packet", cbor.encode(members | {"type": "document_part"})),
        ("an unknown key", cbor.encode(members | {"novelty": 1})),
        ("a missing key", cbor.encode(kept)),
        ("a field of the wrong type", cbor.encode(members | {"kpj": 99})),
        ("a field too long", cbor.encode(members | {"mother_name": "X" * 101})),
        ("a value that is not allowed", cbor.encode(members | {"kpj": "99zz0000001"})),
        ("null instead of leaving out", cbor.encode(members | {"partner_code": None})),
        ("supervisor and operator the same", cbor.encode(members | {"supervisor_id": members["operator_id"]})),
        ("keys in RFC 7049 order after an integer key", cbor2.dumps({256: 0, -1: 0}, canonical=True)),
        ("keys not sorted", cbor2.dumps(dict(sorted(members.items(), key=lambda item: str(item[0]))))),
        ("a length in more bytes than needed", b"\xb8\x01" + b"\x64type" + b"\x65claim"),
        ("an indefinite length", b"\xbf\x64type\x65claim\xff"),
        ("a float", cbor2.dumps({"type": 1.5})),
        ("something after the packet", PACKET + b"\x00"),
        ("cut short", PACKET[:-1]),
        ("a length that is not there", b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff"),
    ]
    return [{"name": name, "packet": data.hex(), **_refusal(packet.decode, data)} for name, data in cases]


def document_parts() -> dict[str, Any]:
    """Parts that are taken, and parts that are refused with the named reason and the field."""
    whole = bytes(at % 251 for at in range(document_part.MIN_PART_BYTES + 16))
    last = DocumentPart(
        claim_id=matched_claim().packet_id,
        device_id="dev-000001",
        index=0,
        type_code="PAKLARING",
        media_type=MediaType.PDF,
        pages=2,
        legible=True,
        operator_id="op1",
        attached_at=NOW,
        size_bytes=len(whole),
        sha256=hashlib.sha256(whole).digest(),
        part_bytes=document_part.MIN_PART_BYTES,
        part=2,
        content=whole[document_part.MIN_PART_BYTES :],
    )
    short = b"\x89PNG, only so called"
    only = replace(
        last,
        index=document_part.FIRST_SUPPLEMENT,
        media_type=MediaType.PNG,
        size_bytes=len(short),
        sha256=hashlib.sha256(short).digest(),
        part=1,
        content=short,
    )
    members = cbor.decode(last.encode(), max_bytes=1 << 20)
    assert isinstance(members, dict)
    cases = [
        ("a later version", members | {"schema_version": 2}),
        ("a claim", members | {"type": "claim"}),
        ("a part beyond the end", members | {"part": 3}),
        ("content shorter than this part must be", members | {"content": short[:1]}),
        ("another kind of file", members | {"media_type": "image/tiff"}),
        ("an index beyond the last supplement", members | {"index": 256}),
        ("no checksum", {name: value for name, value in members.items() if name != "sha256"}),
    ]
    return {
        "taken": [
            {"name": name, "part": part.encode().hex(), "id": str(_id_of(part))}
            for name, part in (("the second of two", last), ("a supplement in one part", only))
        ],
        "refused": [
            {"name": name, "part": cbor.encode(case).hex(), **_refusal(document_part.decode, cbor.encode(case))}
            for name, case in cases
        ],
    }


def _id_of(part: DocumentPart) -> UUID:
    return document_part.packet_id(part.claim_id, part.index, part.part)


def x25519_envelope(content: bytes = PACKET, zipped: str | None = None) -> bytes:
    """The envelope of HEADER and PACKET, built without our envelope code and without its randomness.

    With ``zipped``, ``content`` is the packet compressed and the inner header names how.
    """
    created = HEADER.created
    times = [1_795_143_845_678, created.monotonic_ns, created.boot_id, created.clock_offset_ms, created.clock_error_ms]
    device = [1, "dev-000001", "core", HEADER.epoch, 1, bytes(32), times]
    # Label order of the deterministic encoding: 1, 2, 4, 16, -70001.
    outer = cbor2.dumps({1: -8, 2: [-70001], 4: _spki_id(DEVICE), 16: envelope.TYP, -70001: device})
    key, iv = hashlib.sha256(b"content key").digest(), hashlib.sha256(b"iv").digest()[:12]
    inner = cbor2.dumps({1: 3} if zipped is None else {1: 3, 2: [-70002], -70002: zipped})
    ciphertext = AESGCM(key).encrypt(iv, content, cbor2.dumps(["Encrypt", inner, outer]))
    protected = cbor2.dumps({1: 49})
    suite = CipherSuite.new(KEMId.DHKEM_X25519_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES128_GCM)
    public = x25519.X25519PrivateKey.from_private_bytes(CLASSIC_SECRET).public_key()
    enc, context = suite.create_sender_context(
        KEMKey.from_pyca_cryptography_key(public),
        info=cbor2.dumps(["HPKE Recipient", 3, protected, b""]),
        eks=suite.kem.derive_key_pair(hashlib.sha256(b"ephemeral").digest()),
    )
    kid = hashlib.sha256(cbor2.dumps(["HPKE-3-KE", public.public_bytes_raw()])).digest()[:16]
    recipients = [[protected, {4: kid, -4: enc}, context.seal(key)]]
    body = cbor2.dumps(cbor2.CBORTag(96, [inner, {5: iv}, ciphertext, recipients]))
    signature = DEVICE.sign(cbor2.dumps(["Signature1", outer, b"", body]))
    return cbor2.dumps(cbor2.CBORTag(18, [outer, {}, body, signature]))


def batch() -> bytes:
    """A sync request with the X25519 envelope."""
    data = x25519_envelope()
    lanes = (
        LaneState(
            lane=Lane.CORE,
            epoch=HEADER.epoch,
            next_seq=2,
            head_hash=hashlib.sha256(data).digest(),
            depth=1,
            oldest_age_s=60,
        ),
        LaneState(lane=Lane.DOCUMENTS, epoch=bytes(16), next_seq=FIRST_SEQ, head_hash=NO_HASH, depth=0, oldest_age_s=0),
    )
    checkpoint = Checkpoint(
        device_id="dev-000001",
        nonce=bytes(range(200, 216)),
        boot_id=HEADER.created.boot_id,
        wall_utc=NOW,
        monotonic_ns=200_000_000_000,
        lanes=lanes,
        free_disk_bytes=50_000_000_000,
        versions={"agent": "0.1.0", "sqlite": "3.40.1"},
    )
    return sign_batch(checkpoint, [data], DEVICE)


def signed_receipt() -> bytes:
    """Head office's answer to that batch."""
    digest = hashlib.sha256(x25519_envelope()).digest()
    verdict = PacketVerdict(
        lane=Lane.CORE,
        epoch=HEADER.epoch,
        seq=1,
        digest=digest,
        verdict=Verdict.ACCEPTED,
        receipt_no="R-00000001",
        stored_at=NOW,
    )
    content = Receipt(
        device_id="dev-000001",
        nonce=bytes(range(200, 216)),
        server_time=NOW,
        lanes=(LaneHead(lane=Lane.CORE, epoch=HEADER.epoch, next_seq=2, head_hash=digest),),
        verdicts=(verdict,),
        next_poll_s=60,
    )
    return receipt.sign(content, OFFICE)


def kept_envelopes() -> dict[str, str]:
    """Envelopes whose randomness can not be fixed: those on file, made anew only when they no longer open."""
    makers: dict[str, Callable[[], bytes]] = {
        "zstd frame": lambda: compression.frame(PACKET),
        "hybrid": lambda: envelope.seal(PACKET, HEADER, DEVICE, [HYBRID.public]),
        "two recipients, ES256": lambda: envelope.seal(
            PACKET, replace(HEADER, seq=2, prev_hash=bytes([1]) * 32), TOKEN_KEY, [HYBRID.public, CLASSIC.public]
        ),
    }
    on_file = json.loads((FOLDER / "envelopes.json").read_text()) if (FOLDER / "envelopes.json").exists() else {}
    found = {each["name"]: each["envelope"] for each in on_file.get("envelopes", [])}
    if "zstd_frame" in on_file and _expands(bytes.fromhex(on_file["zstd_frame"])):
        found["zstd frame"] = on_file["zstd_frame"]
    return {name: found[name] if name in found else make().hex() for name, make in makers.items()}


def envelopes() -> dict[str, Any]:
    """Keys and envelopes, each with what must come out."""
    kept = kept_envelopes()
    listed = [
        ("X25519, reproducible", x25519_envelope().hex(), DEVICE, ["X25519"]),
        ("X25519, compressed", x25519_envelope(bytes.fromhex(kept["zstd frame"]), "zstd").hex(), DEVICE, ["X25519"]),
        ("hybrid", kept["hybrid"], DEVICE, ["MLKEM768-X25519"]),
        ("two recipients, ES256", kept["two recipients, ES256"], TOKEN_KEY, ["MLKEM768-X25519", "X25519"]),
    ]
    return {
        "zstd_frame": kept["zstd frame"],
        "recipients": {
            "X25519": {
                "secret": CLASSIC_SECRET.hex(),
                "public": CLASSIC.public.public_key.hex(),
                "kid": CLASSIC.kid.hex(),
            },
            "MLKEM768-X25519": {
                "secret": HYBRID_SECRET.hex(),
                "public": HYBRID.public.public_key.hex(),
                "kid": HYBRID.kid.hex(),
            },
        },
        "envelopes": [
            {
                "name": name,
                "envelope": data,
                "signer_spki": spki(signer.public_key).hex(),
                "digest": hashlib.sha256(bytes.fromhex(data)).hexdigest(),
                "opened_by": opened_by,
                "packet": PACKET.hex(),
            }
            for name, data, signer, opened_by in listed
        ],
        "refused": [
            {
                "name": "ES256, the higher s of the same signature",
                "envelope": with_high_s(bytes.fromhex(kept["two recipients, ES256"])).hex(),
                "signer_spki": spki(TOKEN_KEY.public_key).hex(),
                "refusal": "bad_signature",
            }
        ],
    }


def with_high_s(data: bytes) -> bytes:
    """The same envelope with the other of the two signatures everybody can make out of one."""
    return data[:-32] + (P256_ORDER - int.from_bytes(data[-32:], "big")).to_bytes(32, "big")


def round_trip() -> dict[str, Any]:
    """A request and its receipt."""
    return {
        "device_spki": spki(DEVICE.public_key).hex(),
        "office_spki": spki(OFFICE.public_key).hex(),
        "device_id": "dev-000001",
        "nonce": bytes(range(200, 216)).hex(),
        "batch": batch().hex(),
        "receipt": signed_receipt().hex(),
    }


ORDERS: tuple[commands.Body, ...] = (
    commands.Policy(attempts_per_finger=3, minimum_quality=30, send_chip_photo=False),
    commands.Tables(
        tables=(
            commands.Table(
                name=commands.TableName.KANWIL,
                sha256=hashlib.sha256(b'version = "2026-11-20"\n').digest(),
                # One raw block: the same in every version of the library.
                content=bytes.fromhex("28b52ffd2017b90000") + b'version = "2026-11-20"\n',
            ),
        )
    ),
    commands.Deny(reason="Mesin dilaporkan hilang"),
    commands.RotateKeys(tls=True, signing=True),
    commands.Resend(lane=Lane.CORE, epoch=bytes(range(16)), first_seq=1, last_seq=1),
    commands.Supplement(
        packet_id=matched_claim().packet_id,
        documents=("DEATH_CERTIFICATE",),
        note="Halaman 2 tidak terbaca",
        asked_at=NOW,
        until=date(2026, 12, 4),
    ),
    commands.Decision(
        packet_id=matched_claim().packet_id,
        status=commands.DecisionStatus.RETURNED,
        agenda_no=1_234_567,
        reason_code="NAME_DIFFERS",
        reason="Nama pada KTP dan KK berbeda",
        decided_at=NOW,
    ),
    commands.NewEpoch(lane=Lane.CORE, epoch=bytes(range(16))),
    commands.Move(url="https://head-office-2.example:8443"),
)


def orders() -> dict[str, Any]:
    """A receipt with a frozen lane and one of each command, one nobody knows among them; and the device's answer."""
    asked = [commands.make(bytes([at]) * 16, body) for at, body in enumerate(ORDERS, 1)]
    unknown = Command(id=bytes([99]) * 16, name="make_coffee", body=b"")
    nonce = bytes(range(216, 232))
    content = Receipt(
        device_id="dev-000001",
        nonce=nonce,
        server_time=NOW,
        lanes=(
            LaneHead(lane=Lane.CORE, epoch=bytes(range(16)), next_seq=2, head_hash=bytes([3]) * 32, frozen="fork"),
            LaneHead(lane=Lane.DOCUMENTS, epoch=bytes(16), next_seq=FIRST_SEQ, head_hash=NO_HASH),
        ),
        next_poll_s=900,
        commands=(*asked, unknown),
    )
    answer = Checkpoint(
        device_id="dev-000001",
        nonce=bytes(range(232, 248)),
        boot_id=HEADER.created.boot_id,
        wall_utc=NOW,
        monotonic_ns=300_000_000_000,
        lanes=(),
        free_disk_bytes=700_000_000,
        storage=StorageMark.STOP_DOCUMENTS,
        versions={"agent": "0.1.0"},
        commands_done=tuple(command.id for command in asked),
        commands_refused=(CommandRefused(id=unknown.id, name=unknown.name, reason="unknown_command"),),
    )
    return {
        "device_spki": spki(DEVICE.public_key).hex(),
        "office_spki": spki(OFFICE.public_key).hex(),
        "device_id": "dev-000001",
        "nonce": nonce.hex(),
        "receipt": receipt.sign(content, OFFICE).hex(),
        "answer": sign_batch(answer, [], DEVICE).hex(),
    }


def _expands(frame: bytes) -> bool:
    try:
        return compression.expanded(frame, 1 << 20, EnvelopeError, "") == PACKET
    except EnvelopeError:
        return False


def _spki_id(signer: SoftwareSigner) -> bytes:
    return hashlib.sha256(spki(load_spki(spki(signer.public_key)))).digest()[:16]


def _refusal(read: Callable[[bytes], object], data: bytes) -> dict[str, str]:
    try:
        read(data)
    except WireError as error:
        return {"refusal": error.refusal.value, "field": error.field}
    raise AssertionError("this packet was taken")


def stick_files() -> dict[str, Any]:
    """A batch and a receipt as files on a stick, and what is left of one after each thing that happens to sticks."""
    whole = wrap(Kind.BATCH, b"abc")
    name = FileName("dev-000001", 7, bytes(range(16)), Kind.BATCH)
    spoilt = {
        "cut off in the header": whole[:20],
        "cut off in the body": whole[:-1],
        "empty": b"",
        "something behind it": whole + b"\0",
        "one bit changed": whole[:-1] + bytes([whole[-1] ^ 1]),
        "of a later version": whole[:8] + b"\2" + whole[9:],
        "a receipt under a batch's name": wrap(Kind.RECEIPT, b"abc"),
        "larger than a batch may be": whole[:12] + b"\x7f" + whole[13:],
        "somebody's photo": bytes.fromhex("ffd8ffe000104a464946"),
    }
    return {
        "name": str(name),
        "answered_by": str(name.answered()),
        "batch": batch().hex(),
        "file": wrap(Kind.BATCH, batch()).hex(),
        "receipt": signed_receipt().hex(),
        "receipt_file": wrap(Kind.RECEIPT, signed_receipt()).hex(),
        "refused": [
            {"what": what, "file": data.hex(), **_refusal(lambda data: unwrap(data, Kind.BATCH), data)}
            for what, data in spoilt.items()
        ],
    }


FILES: dict[str, Callable[[], object]] = {
    "claim-packets.json": claim_packets,
    "refused-packets.json": refused_packets,
    "document-parts.json": document_parts,
    "envelopes.json": envelopes,
    "round-trip.json": round_trip,
    "orders.json": orders,
    "stick-files.json": stick_files,
}


def main() -> None:
    """Write the files; their checksums go into the catalogue by hand, where a person sees them change."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in FILES.items():
        content = json.dumps(make(), indent=1, ensure_ascii=True) + "\n"
        (FOLDER / name).write_text(content, encoding="ascii")
        print(name, hashlib.sha256(content.encode("ascii")).hexdigest())


if __name__ == "__main__":
    main()
