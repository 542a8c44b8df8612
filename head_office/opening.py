"""Opening: stored packets decrypted, parsed and put on the desk. Only the process that does this holds the keys.

Packets are taken in the order they came; their signature is checked once more. What cannot be made a claim of stays
in custody as it came, marked with the reason, and never keeps the ones behind it waiting.

On PostgreSQL several workers may open at once: each takes rows nobody else has locked, and keeps them locked until
its claims are written. On SQLite the packets are decrypted first and written in one short transaction, because
whoever holds that one keeps the devices waiting.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from head_office import claims, documents, events
from head_office.authenticity import UNKNOWN_KEY
from head_office.claims import OpenedClaim
from head_office.custody import Alarm, LaneKey, Opening, Place, alarm, receipt_name
from head_office.device_registry import signing_keys
from head_office.documents import Taken
from head_office.errors import LedgerError
from head_office.flags import flags_of
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.moment import Clock, from_ms, to_ms, utc_now
from head_office.unsealing import packet_bytes
from sync import document_part
from sync.document_part import DocumentPart, is_part
from sync.envelope import Lane
from sync.errors import Refusal, WireError
from sync.keys import PublicKey
from sync.packet import BioOutcome, ClaimPacket, decode
from sync.recipients import RecipientPrivateKey

log = logging.getLogger(__name__)

AT_ONCE = 50  # About 50 ms of decryption: what one lock or one flush is shared by.
CLEAR_EVERY_MS = 3_600_000
FAILED = "opening_failed"
"""A fault of this program, not of the packet: released once it is put right."""
BEFORE_ENROLMENT = timedelta(days=1)

TO_OPEN = (
    "SELECT p.*, d.branch_code, d.kanwil_code, d.partner_code, d.enrolled_at FROM packets p"
    " JOIN devices d ON d.device_id = p.device_id WHERE p.opening = 'WAITING' ORDER BY p.receipt_no LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Read:
    """A packet that was looked into: a claim, a part of a document, or the reason why it is neither."""

    row: Row
    packet: ClaimPacket | DocumentPart | None
    refusal: str | None


class Opener:
    """Opens stored packets and writes claims."""

    def __init__(self, ledger: Ledger, keys: Mapping[bytes, RecipientPrivateKey], *, clock: Clock = utc_now) -> None:
        self._ledger, self._keys, self._clock = ledger, keys, clock
        self._clear_at_ms = 0

    def open_waiting(self, at_once: int = AT_ONCE) -> int:
        """Open up to ``at_once`` packets; returns how many were looked at. Raises LedgerError."""
        looked_at = self._open_packets(at_once)
        documents.check_all_gathered(self._ledger, self._keys, to_ms(self._clock()))
        self._clear_events()
        return looked_at

    def _clear_events(self) -> None:
        """Events are written here; where no relay takes them away, this does, an hour after it last had nothing to do.

        In small steps, one a look: it is never what packets wait for.
        """
        now_ms = to_ms(self._clock())
        if now_ms >= self._clear_at_ms and events.clear_without_relay(self._ledger, now_ms) < events.PURGED_AT_ONCE:
            self._clear_at_ms = now_ms + CLEAR_EVERY_MS

    def _open_packets(self, at_once: int) -> int:
        try:
            return self._open(at_once)
        except LedgerError:
            raise
        except Exception:
            if at_once == 1:
                raise
            log.exception("a group of packets could not be opened; now one at a time")
        return self._open_singly(at_once)

    def _open(self, at_once: int) -> int:
        if self._ledger.many_writers:
            with self._ledger.transaction() as tx:
                rows = tx.execute(f"{TO_OPEN} FOR UPDATE OF p SKIP LOCKED", (at_once,))
                self._write_all(tx, self._read_all(rows))
        else:
            rows = self._ledger.read(TO_OPEN, (at_once,))
            found = self._read_all(rows)
            if found:
                self._ledger.together(lambda tx: self._write_all(tx, found))
        return len(rows)

    def _open_singly(self, count: int) -> int:
        for done in range(count):
            try:
                if self._open(1) == 0:
                    return done
            except LedgerError:
                raise
            except Exception:
                log.exception("a packet could not be opened")
                self._set_first_aside()
        return count

    def _set_first_aside(self) -> None:
        with self._ledger.transaction() as tx:
            for row in tx.execute(f"{TO_OPEN} FOR UPDATE OF p SKIP LOCKED", (1,)):
                self._set_aside(tx, row, FAILED)

    def _read_all(self, rows: Sequence[Row]) -> list[Read]:
        keys: dict[str, dict[bytes, PublicKey]] = {}
        for row in rows:
            if row["device_id"] not in keys:
                keys[row["device_id"]] = signing_keys(self._ledger, row["device_id"])
        return [self._read(row, keys[row["device_id"]]) for row in rows]

    def _read(self, row: Row, keys: Mapping[bytes, PublicKey]) -> Read:
        try:
            opened = packet_bytes(row, keys, self._keys)
            packet = None if opened is None else document_part.decode(opened) if is_part(opened) else decode(opened)
        except WireError as error:
            return Read(row, None, error.refusal.value)
        if packet is None:
            return Read(row, None, UNKNOWN_KEY)
        if packet.device_id != row["device_id"]:
            return Read(row, None, Refusal.WRONG_DEVICE.value)
        return Read(row, packet, None)

    def _write_all(self, tx: Transaction, found: Sequence[Read]) -> None:
        for read in found:
            self._write(tx, read)

    def _write(self, tx: Transaction, read: Read) -> None:
        row, packet = read.row, read.packet
        still = "SELECT 1 FROM packets WHERE receipt_no = ? AND device_id = ? AND opening = 'WAITING'"
        if not tx.execute(still, (row["receipt_no"], row["device_id"])):
            return  # Another worker was quicker.
        if packet is None:
            self._set_aside(tx, row, read.refusal or FAILED)
            return
        if isinstance(packet, DocumentPart):
            self._write_part(tx, row, packet)
            return
        holders = {held["device_id"] for held in _with_id(tx, packet)}
        if holders:
            key = LaneKey(row["device_id"], Lane(row["lane"]), bytes(row["epoch"]))
            alarm(tx, Alarm.PACKET_ID_REUSED, Place(key, row["seq"]), to_ms(self._clock()))
        if row["device_id"] in holders:
            self._set_aside(tx, row, Alarm.PACKET_ID_REUSED)
            return
        claim = claim_of(packet)
        flags = flags_of(
            packet,
            stored_at=from_ms(row["stored_at"]),
            sealed_at=from_ms(row["created_wall"]),
            not_before=from_ms(row["enrolled_at"]) - BEFORE_ENROLMENT,
            other_open=_other_open(tx, claim),
            id_of_another_device=bool(holders),
            site_differs=(packet.branch_code, packet.kanwil_code, packet.partner_code)
            != (row["branch_code"], row["kanwil_code"], row["partner_code"]),
        )
        now = self._clock()
        agenda_no = claims.insert(tx, row["receipt_no"], replace(claim, flags=flags), now)
        facts: dict[str, object] = {
            "packet_id": claim.packet_id.hex(),
            "digest": bytes(row["digest"]).hex(),
            "programme": claim.programme,
            "branch_code": claim.branch_code,
            "path": claim.path,
            "flags": list(flags),
        }
        events.claim_opened(tx, _about(row), at_ms=to_ms(now), agenda_no=agenda_no, facts=facts)
        documents.announced(tx, packet, to_ms(now))
        _mark(tx, row, Opening.OPENED, None)
        log.info("%s opened as agenda %d", receipt_name(row["receipt_no"]), agenda_no)

    def _write_part(self, tx: Transaction, row: Row, part: DocumentPart) -> None:
        taken = documents.take(tx, row, part, to_ms(self._clock()))
        if taken in (Taken.NEW, Taken.AGAIN):
            _mark(tx, row, Opening.OPENED, None if taken is Taken.NEW else taken)
            log.info("%s: part %d of %d of a document", receipt_name(row["receipt_no"]), part.part, part.parts)
        else:
            self._set_aside(tx, row, taken)

    def _set_aside(self, tx: Transaction, row: Row, reason: str) -> None:
        _mark(tx, row, Opening.QUARANTINED, reason)
        now_ms = to_ms(self._clock())
        events.packet_quarantined(tx, _about(row), at_ms=now_ms, reason=reason, nth=str(now_ms))
        log.warning("%s set aside: %s", receipt_name(row["receipt_no"]), reason)


def claim_of(packet: ClaimPacket) -> OpenedClaim:
    """The desk's row of a packet, not flagged yet."""
    claimant = packet.claimant
    return OpenedClaim(
        packet_id=packet.packet_id.bytes,
        device_id=packet.device_id,
        branch_code=packet.branch_code,
        kanwil_code=packet.kanwil_code,
        partner_code=packet.partner_code,
        programme=packet.programme.value,
        reason_code=packet.reason_code,
        npp=packet.npp,
        company_name=packet.company_name,
        full_name=claimant.name,
        kpj=packet.kpj,
        # A person has one of the two: the packet refuses to be without.
        nik=claimant.nik or claimant.identity_no or "",
        na_code=packet.na_code_declared.value,
        path="BIOMETRIC" if packet.bio.outcome is BioOutcome.MATCH else "MANUAL",
        flags=(),
        captured_at=packet.captured_at,
        detail=_plain({name: value for name, value in packet.to_map().items() if name != "photo_face"}),
    )


def _plain(value: dict[str, object]) -> dict[str, object]:
    """A packet's map with bytes as hexadecimal, for JSON."""

    def plain(item: object) -> object:
        if isinstance(item, bytes):
            return item.hex()
        if isinstance(item, dict):
            return {str(name): plain(member) for name, member in item.items()}
        if isinstance(item, list | tuple):
            return [plain(member) for member in item]
        return item

    return {name: plain(member) for name, member in value.items()}


def _with_id(tx: Transaction, packet: ClaimPacket) -> list[Row]:
    """The claims that have this packet's id already.

    From the same device it is the same claim sealed twice. From another it is a real claim of somebody's under an id
    that ought to be nobody else's: it goes to the desk, and people look at both.
    """
    return tx.execute("SELECT device_id FROM claims WHERE packet_id = ?", (packet.packet_id.bytes,))


def _other_open(tx: Transaction, claim: OpenedClaim) -> bool:
    return bool(
        tx.execute(
            "SELECT 1 FROM claims WHERE (nik = ? OR kpj = ?) AND programme = ? AND status = 'PENDING' LIMIT 1",
            (claim.nik, claim.kpj, claim.programme),
        )
    )


def _about(row: Row) -> events.About:
    return events.About(row["device_id"], row["receipt_no"], bytes(row["digest"]))


def _mark(tx: Transaction, row: Row, opening: Opening, reason: str | None) -> None:
    tx.execute(
        "UPDATE packets SET opening = ?, opening_reason = ? WHERE receipt_no = ? AND device_id = ?",
        (opening, reason, row["receipt_no"], row["device_id"]),
    )
