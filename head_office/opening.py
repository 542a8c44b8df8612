"""The opening worker: a process of its own, and the only one that reads the keys packets are encrypted to.

It takes stored packets in the order they came, checks their signature once more, decrypts and parses them, and puts
each claim on the desk. What it cannot make a claim of stays in custody as it came, marked with the reason. The
process that faces the network never holds a decryption key; this one never listens to anything but its parent.
"""

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from head_office import claims
from head_office.claims import OpenedClaim
from head_office.custody import Alarm, LaneKey, Opening, Place, alarm, receipt_name
from head_office.device_registry import signing_keys
from head_office.errors import LedgerBusyError, LedgerFullError
from head_office.flags import flags_of
from head_office.keys.home import Home
from head_office.keys.recipients import load_private_keys
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.ledger.sqlite import SqliteLedger
from head_office.moment import Clock, from_ms, to_ms, utc_now
from sync.envelope import Lane, open_envelope, recipients_of, verify
from sync.errors import Refusal, WireError
from sync.packet import BioOutcome, ClaimPacket, decode
from sync.recipients import RecipientPrivateKey

log = logging.getLogger(__name__)

AT_ONCE = 50
LOOK_AGAIN_S = 2.0  # The parent wakes us after each commit; this only finds what an earlier process left over.
RESTART_AFTER_S = (0.5, 2.0, 10.0, 60.0)  # A worker that dies at once must not spin; keys may be put right meanwhile.
STOP_WITHIN_S = 10.0  # One packet takes milliseconds.

UNKNOWN_KEY = "unknown_key"


class Opener:
    """Opens stored packets and writes claims."""

    def __init__(self, ledger: Ledger, keys: Mapping[bytes, RecipientPrivateKey], *, clock: Clock = utc_now) -> None:
        self._ledger, self._keys, self._clock = ledger, keys, clock

    def open_waiting(self) -> int:
        """Open up to AT_ONCE packets, each in its own transaction; returns how many were looked at."""
        rows = self._ledger.read(
            "SELECT p.*, d.branch_code, d.kanwil_code, d.partner_code FROM packets p"
            " JOIN devices d ON d.device_id = p.device_id WHERE p.opening = ? ORDER BY p.receipt_no LIMIT ?",
            (Opening.WAITING, AT_ONCE),
        )
        for row in rows:
            self._open(row)
        return len(rows)

    def _open(self, row: Row) -> None:
        try:
            packet = self._decrypt(row)
        except WireError as error:
            self._set_aside(row["receipt_no"], error.refusal.value)
            return
        if packet is None:
            self._set_aside(row["receipt_no"], UNKNOWN_KEY)
            return
        if packet.device_id != row["device_id"]:
            self._set_aside(row["receipt_no"], Refusal.WRONG_DEVICE.value)
            return
        with self._ledger.transaction() as tx:
            holders = {held["device_id"] for held in _with_id(tx, packet)}
            if holders:
                key = LaneKey(row["device_id"], Lane(row["lane"]), bytes(row["epoch"]))
                alarm(tx, Alarm.PACKET_ID_REUSED, Place(key, row["seq"]), to_ms(self._clock()))
            if row["device_id"] in holders:
                _mark(tx, row["receipt_no"], Opening.QUARANTINED, Alarm.PACKET_ID_REUSED)
                return
            claim = claim_of(packet)
            flags = flags_of(
                packet,
                stored_at=from_ms(row["stored_at"]),
                other_open=_other_open(tx, claim),
                id_of_another_device=bool(holders),
                site_differs=(packet.branch_code, packet.kanwil_code, packet.partner_code)
                != (row["branch_code"], row["kanwil_code"], row["partner_code"]),
            )
            agenda_no = claims.insert(tx, row["receipt_no"], replace(claim, flags=flags), self._clock())
            _mark(tx, row["receipt_no"], Opening.OPENED, None)
        log.info("%s opened as agenda %d", receipt_name(row["receipt_no"]), agenda_no)

    def _decrypt(self, row: Row) -> ClaimPacket | None:
        """The packet, or None when the signing key is not in the registry. Raises WireError."""
        key = signing_keys(self._ledger, row["device_id"]).get(bytes(row["signer_kid"]))
        if key is None:
            return None
        verified = verify(row["envelope"], key)
        for kid, _suite in recipients_of(verified.payload):
            if kid in self._keys:
                return decode(open_envelope(verified, self._keys[kid]))
        raise WireError(Refusal.NOT_A_RECIPIENT)

    def _set_aside(self, receipt_no: int, reason: str) -> None:
        with self._ledger.transaction() as tx:
            _mark(tx, receipt_no, Opening.QUARANTINED, reason)
        log.warning("%s set aside: %s", receipt_name(receipt_no), reason)


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


def _mark(tx: Transaction, receipt_no: int, opening: Opening, reason: str | None) -> None:
    tx.execute("UPDATE packets SET opening = ?, opening_reason = ? WHERE receipt_no = ?", (opening, reason, receipt_no))


def run(home_folder: Path, from_parent: Connection) -> None:
    """The worker's main: open what waits until the parent hangs up. Raises HomeError when the keys are not there."""
    # Ctrl-C and `timeout` reach the whole group; the parent decides when this process ends, by hanging up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    home = Home(home_folder)
    keys = load_private_keys(home)
    ledger = SqliteLedger(home.ledger)
    opener = Opener(ledger, keys)
    try:
        while True:
            try:
                looked_at = opener.open_waiting()
            except (LedgerBusyError, LedgerFullError) as error:
                log.warning("opening waits: %s", error)
                looked_at = 0
            wait_s = 0 if looked_at == AT_ONCE else LOOK_AGAIN_S
            while from_parent.poll(wait_s):
                from_parent.recv_bytes()
                wait_s = 0  # Several wakes mean one look.
    except EOFError:
        log.info("the parent has ended")
    finally:
        ledger.close()


class OpeningWorker:
    """Keeps one worker process running: started, woken after commits, started again when it dies, stopped."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._pipe: Connection | None = None
        self._keeper = threading.Thread(target=self._keep, name="opening-keeper", daemon=True)

    def start(self) -> None:
        self._keeper.start()

    def wake(self) -> None:
        """Tell the worker that packets were stored. Never waits and never fails: it looks by itself as well."""
        with self._lock:
            if self._pipe is not None and not self._stopping.is_set():
                try:
                    self._pipe.send_bytes(b"\x01")
                except OSError as error:  # It is dead, or has wakes enough; either way it will look.
                    log.debug("worker not woken: %s", error)

    def stop(self) -> None:
        """Hang up and wait for the worker to finish its packet."""
        self._stopping.set()
        self._hang_up()
        if self._keeper.ident is not None:
            self._keeper.join(STOP_WITHIN_S + LOOK_AGAIN_S)

    def _hang_up(self) -> None:
        with self._lock:
            if self._pipe is not None:
                self._pipe.close()
                self._pipe = None

    def _keep(self) -> None:
        # spawn, not fork: the child must not inherit sockets, keys in memory or the ledger's connection.
        context = multiprocessing.get_context("spawn")
        failures = 0
        while not self._stopping.is_set():
            theirs, ours = context.Pipe(duplex=False)
            process = context.Process(target=run, args=(self._home.folder, theirs), name="opening", daemon=True)
            process.start()
            theirs.close()
            # A worker that does not read must never make the ingest wait.
            os.set_blocking(ours.fileno(), False)
            with self._lock:
                self._pipe = ours
            if self._stopping.is_set():
                self._hang_up()
            while process.is_alive() and not self._stopping.is_set():
                process.join(LOOK_AGAIN_S)
                failures = 0 if process.is_alive() else failures
            self._hang_up()
            process.join(STOP_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()
            if not self._stopping.is_set():
                wait_s = RESTART_AFTER_S[min(failures, len(RESTART_AFTER_S) - 1)]
                log.error("the opening worker ended with %s; starting it again in %g s", process.exitcode, wait_s)
                failures += 1
                self._stopping.wait(wait_s)
