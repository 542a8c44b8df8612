"""Foreign bytes at every parser that meets them: the named error or a value, in bounded time and memory.

Damaged versions (mutation.py) of real messages of each kind. Where a parser stands behind a signature the damaged
content is signed again, or it would never be reached.
"""

import base64
import json
import resource
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, cast
from urllib.parse import quote

import cv2
import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bench.faults.history import Fault, Violation
from bench.faults.mutation import mutated
from bench.faults.parts import Progress, Result, quietly
from bench.faults.rig import SITE, certificate_request
from drivers.card.ektp.biodata import BiodataError, parse_biodata
from drivers.card.virtual.person import synthetic_person
from head_office import server
from head_office.errors import RefusedError
from head_office.keys.authority import Authority, KeyRequest, Purpose
from head_office.verification import Pins, verify_file
from matcher import MatcherError, Template
from matcher.chip_profile import as_on_chip
from matcher.iso19794 import View
from matcher.iso19794 import decode as read_template
from matcher.iso19794 import encode as write_template
from mpos_agent.claim.scanned import read_scan
from sync import (
    cbor,
    checkpoint,
    commands,
    compression,
    cose,
    document_part,
    enrolment,
    packet,
    receipt,
    renewal,
    stick,
    trust,
)
from sync import envelope as sealed
from sync.edge.enrolment import checked_certificate
from sync.enrolment import EnrolReply, EnrolRequest, ErrorReply, ReceiptKey
from sync.envelope import FIRST_SEQ, NO_HASH, Created, Header, Lane
from sync.errors import EnvelopeError, IdentityError, WireError
from sync.keys import SoftwareSigner, spki
from sync.receipt import Command
from sync.recipients import RecipientPrivateKey, Suite

PEM, SPKI = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
VECTORS = Path(__file__).resolve().parents[2] / "tests" / "vectors" / "wire"
SLOW_S = 1.0
"""Processor time; the slowest honest input, a full batch, takes some milliseconds."""
MOST_GROWTH_BYTES = 200 * 1024 * 1024
"""Of the whole process over all inputs; the largest message is 2 MB."""
DEVICE = SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OFFICE = SoftwareSigner(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))
NOW = datetime(2026, 11, 20, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, what it is fed, and what it may raise."""

    name: str
    read: Callable[[bytes], Any]
    seeds: Sequence[bytes]
    allowed: type[Exception] | tuple[type[Exception], ...]
    dress: Callable[[bytes], bytes] = bytes
    """Makes the damaged bytes into what the parser gets: signs them, wraps them."""
    wrong: bool = False
    shows: str = ""
    """What a wrong one must be found by."""


def fuzz(*, tries: int = 20_000, seed: int = 1, with_wrong: bool = True, progress: Progress = quietly) -> Result:
    """``tries`` inputs for each parser."""
    result = Result("foreign bytes at every parser")
    targets = [*all_targets(), *(wrong_parsers() if with_wrong else ())]
    before = _peak_bytes()
    for at, target in enumerate(targets):
        found = _try(target, tries, seed)
        if target.wrong:
            result.judge(target.name, found, caught=any(target.shows in one.detail for one in found))
        else:
            result.faults_tried += tries
            result.states_checked += tries
            result.found += found
        progress((at + 1) / len(targets))
    if (grown := _peak_bytes() - before) > MOST_GROWTH_BYTES:
        result.found.append(Violation(Fault.REFUSED, f"memory grew by {grown >> 20} MB"))
    return result


def _try(target: Target, tries: int, seed: int) -> list[Violation]:
    found: list[Violation] = []
    for number in range(tries):
        random = Random(f"{target.name} {seed} {number}")
        given = random.choice(target.seeds)
        data = given if number == 0 else mutated(given, random)
        dressed = target.dress(data)
        started = time.process_time()
        try:
            with warnings.catch_warnings():
                # "Will be refused in a later version" of a certificate is no answer to anybody here.
                warnings.simplefilter("ignore")
                target.read(dressed)
        except target.allowed:
            pass
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            found.append(Violation(Fault.REFUSED, f"{target.name}, try {number}: {type(error).__name__} {error}"))
        if time.process_time() - started > SLOW_S:
            found.append(Violation(Fault.REFUSED, f"{target.name}, try {number}: slow"))
        if len(found) >= (1 if target.wrong else 5):
            break
    return found


def all_targets() -> list[Target]:
    """Every parser that meets foreign bytes."""
    round_trip, orders = _vectors("round-trip"), _vectors("orders")
    envelopes = [bytes.fromhex(one["envelope"]) for one in _vectors("envelopes")["envelopes"]]
    packets = [bytes.fromhex(one["packet"]) for one in _vectors("claim-packets")]
    parts = [bytes.fromhex(one["part"]) for one in _vectors("document-parts")["taken"]]
    parts = [part if len(part) < 20_000 else part[:400] for part in parts]
    receipts = [bytes.fromhex(round_trip["receipt"]), bytes.fromhex(orders["receipt"])]
    batches = [bytes.fromhex(round_trip["batch"]), bytes.fromhex(orders["answer"])]
    bodies = [cose.parse(one, receipt.TYP, frozenset(), max_bytes=1 << 20).payload for one in receipts]
    checkpoints = [checkpoint.read_batch(one).signed.payload for one in batches]
    return [
        Target("CBOR", lambda data: cbor.decode(data, max_bytes=1 << 20), [*packets, *bodies], WireError),
        Target("claim packet", packet.decode, packets, WireError),
        Target("document part", document_part.decode, parts, WireError),
        Target("envelope, its head", sealed.read_header, envelopes, EnvelopeError),
        Target("envelope, its signature", _verified, envelopes, EnvelopeError),
        _inside_the_envelope(),
        Target("zstd inside", lambda data: compression.expanded(data, 1 << 19, EnvelopeError, "packet"),
               [compression.frame(one) for one in packets], EnvelopeError),
        Target("receipt", receipt.read_receipt, receipts, WireError),
        Target("receipt, signed anew", receipt.read_receipt, bodies, WireError, dress=_as_receipt),
        Target("batch", checkpoint.read_batch, batches, WireError),
        Target("checkpoint, signed anew", checkpoint.read_batch, checkpoints, WireError, dress=_as_batch),
        *_command_targets(),
        *_identity_targets(),
        Target("file on a stick", lambda data: stick.unwrap(data, stick.Kind.BATCH), [*map(_file, batches)], WireError),
        Target("name on a stick", lambda data: stick.FileName.parse(data.decode("latin-1")), [_NAME], WireError),
        Target("minutiae record", read_template, _templates(), MatcherError),
        *_certificate_targets(),
        Target("file for the verifier", _for_the_verifier, [*receipts, *batches, *envelopes, *map(_file, batches)], ()),
        Target("scanned document", read_scan, _scans(), ()),
        Target("biodata of a chip", parse_biodata, [_biodata()], BiodataError),
    ]  # fmt: skip


def wrong_parsers() -> list[Target]:
    """Parsers that are wrong on purpose, one mistake each."""
    nested = [cbor.encode([1, [2, {"a": b"x"}]])]

    def without_depth(data: bytes) -> object:
        return cbor.decode(data, max_bytes=1 << 20, max_items=1 << 20, max_depth=1 << 20)

    def trusting(data: bytes) -> object:
        return data[3 : 3 + data[2]], data[3 + data[2] + 1]

    def slow(data: bytes) -> object:
        return sum(a == b for a in data * 20 for b in data * 20)

    return [
        Target(
            "parser without a limit on levels", without_depth, nested, WireError, wrong=True, shows="RecursionError"
        ),
        Target(
            "parser that trusts a length", trusting, [b"\x00\x00\x02ab-"], WireError, wrong=True, shows="IndexError"
        ),
        Target("parser that takes its time", slow, [bytes(400)], WireError, wrong=True, shows=": slow"),
    ]


def _inside_the_envelope() -> Target:
    """The COSE_Encrypt behind the signature, as the opening worker meets it."""
    key = RecipientPrivateKey.generate(Suite.X25519)
    header = Header(1, "dev-000001", Lane.CORE, bytes(16), FIRST_SEQ, NO_HASH, Created(NOW, 1, bytes(16)))
    made = sealed.verify(sealed.seal(b"packet " * 200, header, DEVICE, [key.public]), DEVICE.public_key)
    return Target(
        "envelope, inside", lambda data: sealed.decrypt(data, made.protected, key), [made.payload], EnvelopeError
    )


_NAME = b"mpos-D-1-000001-" + b"0" * 32 + stick.Kind.BATCH.suffix.encode("ascii")


def _verified(data: bytes) -> object:
    return sealed.verify(data, DEVICE.public_key)


def _as_receipt(payload: bytes) -> bytes:
    return cose.sign(cose.protect(receipt.TYP, OFFICE.algorithm, OFFICE.kid, {}), payload, OFFICE)


def _as_batch(payload: bytes) -> bytes:
    signed = cose.sign(cose.protect(checkpoint.TYP, DEVICE.algorithm, DEVICE.kid, {}), payload, DEVICE)
    return cbor.encode([checkpoint.VERSION, signed, []])


def _command_targets() -> list[Target]:
    body = receipt.read_receipt(bytes.fromhex(_vectors("orders")["receipt"]))
    return [
        Target(f"command {one.name}", _command(one.name), [one.body], WireError)
        for one in {each.name: each for each in body.commands}.values()
    ]


def _command(name: str) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        return commands.read(Command(id=bytes(16), name=name, body=data[: receipt.MAX_COMMAND_BYTES]))

    return read


def _identity_targets() -> list[Target]:
    tls, signing = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    tls_csr, signing_csr = certificate_request(tls), certificate_request(signing)
    recipients = (RecipientPrivateKey.generate(Suite.X25519).public,)
    keys = (ReceiptKey(kid=OFFICE.kid, spki=spki(OFFICE.public_key)),)
    token = "A" * 32
    request = EnrolRequest(token=token, device_serial="SN-1", tls_csr=tls_csr, signing_csr=signing_csr)
    reply = EnrolReply(
        device_id="D-1", tls_certificate=b"x" * 300, signing_certificate=b"x" * 300, ca_certificate=b"x" * 300,
        receipt_keys=keys, recipients=recipients, site=SITE,
    )  # fmt: skip
    renew = renewal.RenewRequest(device_id="D-1", nonce=bytes(16), tls_csr=tls_csr, signing_csr=signing_csr)
    renewed = renewal.RenewReply(device_id="D-1", tls_certificate=b"x" * 300, signing_certificate=b"x" * 300)
    trusted = trust.Trusted(serial=trust.FIRST_SERIAL, receipt_keys=keys, recipients=recipients)
    error = enrolment.encode(ErrorReply(error="busy", hint="later"))
    return [
        Target("enrolment, request", enrolment.decode_request, [enrolment.encode(request)], WireError),
        Target("enrolment, reply", enrolment.decode_reply, [enrolment.encode(reply)], WireError),
        Target("error reply", enrolment.decode_error, [error], WireError),
        Target("key request (PKCS#10)", KeyRequest.parse, [tls_csr, signing_csr], RefusedError),
        Target("renewal, request", renewal.read_request, [renewal.sign_request(renew, DEVICE)], WireError),
        Target("renewal, reply", renewal.decode_reply, [renewal.encode_reply(renewed)], WireError),
        Target("head office's keys", trust.decode, [trust.encode(trusted)], WireError),
    ]


def _certificate_targets() -> list[Target]:
    """A certificate as head office's reply brings it, as a proxy hands it on, and as a file of the technician's."""
    authority = Authority.create("CA", NOW)
    tls = ec.generate_private_key(ec.SECP256R1())
    made = authority.certify_device("D-1", Purpose.TLS, KeyRequest.parse(certificate_request(tls)), NOW)
    der, key = made.public_bytes(serialization.Encoding.DER), cast("Any", SoftwareSigner(tls))

    def from_office(data: bytes) -> object:
        return checked_certificate(data, key, authority.certificate, Path("tls.crt"))

    def from_proxy(data: bytes) -> object:
        return server._from_header([(server.PROXY_HEADER, quote(data).encode("ascii"))])

    return [
        Target("certificate in a reply", from_office, [der], IdentityError),
        Target("certificate, whose it is", authority.device_of, [der], ()),
        Target("certificate from a proxy", from_proxy, [der], (), dress=_pem),
    ]


def _pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def _for_the_verifier(data: bytes) -> object:
    return verify_file(data, Pins.of([], [OFFICE.public_key.public_bytes(PEM, SPKI)]))


def _templates() -> list[bytes]:
    random = np.random.default_rng(1)
    made = Template.of(random.uniform(20, 300, 30), random.uniform(20, 400, 30), random.uniform(0, 6.2, 30))
    return [as_on_chip(made, 2), write_template(View(made, 7), View(made, 2))]


def _scans() -> list[bytes]:
    """A JPEG, a PNG, and a PDF of one page, plain and with its objects packed."""
    picture = np.random.default_rng(1).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    pages = b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R>>endobj\n"
    packed = zlib.compress(b"2 0 3 45 <</Type/Pages/Kids[3 0 R]/Count 1>> <</Type/Page/Parent 2 0 R>>")
    stream = b"5 0 obj<</Type/ObjStm/N 2/First 9/Filter/FlateDecode/Length %d>>stream\n" % len(packed)
    start, end = (
        b"%PDF-1.5\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n",
        b"trailer<</Root 1 0 R>>\nstartxref\n9\n%%EOF\n",
    )
    return [
        cv2.imencode(".jpg", picture)[1].tobytes(),
        cv2.imencode(".png", picture)[1].tobytes(),
        start + pages + end,
        start + stream + packed + b"\nendstream\nendobj\n" + end,
    ]


def _biodata() -> bytes:
    fields = synthetic_person(1, None, None).fields
    return ",".join(f'"{value}"' for value in fields).encode("latin-1")


def _file(body: bytes) -> bytes:
    return stick.wrap(stick.Kind.BATCH, body)


def _vectors(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
