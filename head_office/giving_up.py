"""Places of a chain that nobody has any more, put on record as gone by two people (see ``missing``).

The first of them has the device asked once more, and the second one needs that answer: a backup may hold a question of
its own, which the device answered long ago.
"""

from dataclasses import dataclass
from enum import StrEnum

from head_office import audit, missing
from head_office.commands import CommandState
from head_office.errors import HeadOfficeError
from head_office.ledger.base import Ledger, Row, Transaction
from head_office.moment import Clock, to_ms
from head_office.quarantine import NothingAskedError, SecondPersonError
from sync.envelope import Lane


class MissingState(StrEnum):
    """How far it has come with some missing places."""

    ASKED_AGAIN = "asked_again"
    """The device has not said yet what it still has."""
    NOT_ASKED = "not_asked"
    """Our question was withdrawn, or the device could do nothing with it: it has to be asked once more."""
    NOT_ON_DEVICE = "not_on_device"
    """It has answered, and its own packets begin behind these places: two people may declare them gone."""
    GONE = "gone"
    """Declared so; the chain goes on with the device's next packet."""
    WENT_ON = "went_on"
    """The chain has gone on without them."""
    CAME_AGAIN = "came_again"
    """The device still had them."""


class NoSuchPlacesError(HeadOfficeError):
    """No missing places have that number, or they are missing no longer."""

    code = "no_such_places"

    def __init__(self, number: int) -> None:
        super().__init__(f"no places are missing under number {number}; `mpos-head-office places list` shows which are")


class TooManyPlacesError(HeadOfficeError):
    """More places than any device seals between two backups."""

    code = "too_many_places"

    def __init__(self, first: int, last: int) -> None:
        super().__init__(
            f"{first} to {last} are {last - first + 1} places, and no device seals more than {missing.MOST_GONE}"
            " between two backups: look at that device, and let it begin a new chain"
        )


class StillOnDeviceError(HeadOfficeError):
    """The device has not said that it no longer has them."""

    code = "still_on_device"


LISTED = (
    "SELECT m.*, l.next_seq, l.frozen_reason, c.state AS question, c.reason AS refused,"
    " (SELECT count(*) FROM stand_ins s WHERE s.device_id = m.device_id AND s.lane = m.lane AND s.epoch = m.epoch"
    "  AND s.seq BETWEEN m.first_seq AND m.last_seq) AS still_gone"
    " FROM missing_places m LEFT JOIN lanes l ON l.device_id = m.device_id AND l.lane = m.lane AND l.epoch = m.epoch"
    " LEFT JOIN commands c ON c.command_id = m.resend_id"
)


@dataclass(frozen=True, slots=True)
class Missing:
    """Some places of one chain, and what was done about them."""

    number: int
    device_id: str
    lane: Lane
    epoch: bytes
    first: int
    last: int
    state: MissingState
    noticed_at_ms: int
    still_gone: int
    """Places that are empty to this day, once the chain has gone on."""
    reason: str | None
    asked_by: str | None
    asked_at_ms: int | None
    confirmed_by: str | None
    confirmed_at_ms: int | None
    went_on_at_ms: int | None
    went_on_with: int | None
    """Receipt number of the packet the chain went on with."""


def _from(row: Row) -> Missing:
    over = row["next_seq"] is None or row["next_seq"] > row["last_seq"]
    if row["went_on_at"] is not None:
        state = MissingState.WENT_ON
    elif over:
        state = MissingState.CAME_AGAIN
    elif row["confirmed_at"] is not None:
        state = MissingState.GONE
    elif row["shown_at"] is not None and missing.answer(row["question"], row["refused"]) is CommandState.DONE:
        state = MissingState.NOT_ON_DEVICE
    elif missing.answer(row["question"], row["refused"]) is None:
        state = MissingState.NOT_ASKED
    else:
        state = MissingState.ASKED_AGAIN
    return Missing(
        number=row["missing_no"],
        device_id=row["device_id"],
        lane=Lane(row["lane"]),
        epoch=bytes(row["epoch"]),
        first=row["first_seq"] if over else max(row["first_seq"], row["next_seq"]),
        last=row["last_seq"],
        state=state,
        noticed_at_ms=row["noticed_at"],
        still_gone=row["still_gone"],
        reason=row["reason"],
        asked_by=row["asked_by"],
        asked_at_ms=row["asked_at"],
        confirmed_by=row["confirmed_by"],
        confirmed_at_ms=row["confirmed_at"],
        went_on_at_ms=row["went_on_at"],
        went_on_with=row["went_on_with"],
    )


class MissingPlaces:
    """What two people do about missing places; each step is an act on record, and no row is ever deleted."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock

    def listed(self) -> list[Missing]:
        """All of them, those of years ago as well; oldest first."""
        return [_from(row) for row in self._ledger.read(f"{LISTED} ORDER BY m.missing_no")]

    def ask(self, number: int, reason: str, *, by: str) -> Missing:
        """One person wants them declared gone: the device is asked once more, and its answer is what may be confirmed.

        Raises NoSuchPlacesError; NothingAskedError when somebody has asked already; StillOnDeviceError while the
        device has not answered. Where our first question was lost it is asked again.
        """
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            found = _locked(tx, number)
            if found.asked_by is not None:
                raise NothingAskedError(
                    f"{found.asked_by} has asked already; somebody else confirms. Where the question to the device was"
                    f" withdrawn since (`commands list`): `places withdraw {number}`, then ask again"
                )
            if found.last - found.first >= missing.MOST_GONE:
                raise TooManyPlacesError(found.first, found.last)
            if found.state is not MissingState.ASKED_AGAIN:
                row = tx.execute("SELECT * FROM missing_places WHERE missing_no = ?", (number,))[0]
                missing.ask_again(tx, row, found.first, now_ms, by=by)
            if found.state is MissingState.NOT_ON_DEVICE:
                tx.execute(
                    "UPDATE missing_places SET reason = ?, asked_by = ?, asked_at = ? WHERE missing_no = ?",
                    (reason, by, now_ms, number),
                )
                _record(tx, found, "places_gone_asked", by=by, now_ms=now_ms)
        if found.state is not MissingState.NOT_ON_DEVICE:
            raise StillOnDeviceError(_not_shown(found))
        return found

    def confirm(self, number: int, *, by: str) -> Missing:
        """A second person agrees: from now on they are gone.

        Raises NoSuchPlacesError, NothingAskedError, SecondPersonError, StillOnDeviceError.
        """
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            found = _locked(tx, number)
            if found.asked_by is None or found.state is MissingState.GONE:
                raise NothingAskedError(f"nobody has asked to declare the places of number {number} gone")
            if found.asked_by == by:
                raise SecondPersonError(by)
            if found.state is not MissingState.NOT_ON_DEVICE:
                raise StillOnDeviceError(_not_shown(found))
            tx.execute(
                "UPDATE missing_places SET confirmed_by = ?, confirmed_at = ? WHERE missing_no = ?",
                (by, now_ms, number),
            )
            _record(tx, found, "places_gone_confirmed", by=by, now_ms=now_ms)
        return found

    def withdraw(self, number: int, *, by: str) -> None:
        """Take back what was asked, and not yet confirmed. Raises NoSuchPlacesError, NothingAskedError."""
        now_ms = to_ms(self._clock())
        with self._ledger.transaction() as tx:
            found = _locked(tx, number)
            if found.asked_by is None or found.state is MissingState.GONE:
                raise NothingAskedError(f"nothing is asked for the places of number {number}")
            tx.execute(
                "UPDATE missing_places SET reason = NULL, asked_by = NULL, asked_at = NULL WHERE missing_no = ?",
                (number,),
            )
            _record(tx, found, "places_gone_withdrawn", by=by, now_ms=now_ms)


def _locked(tx: Transaction, number: int) -> Missing:
    """The places of a number that are missing still; their device is held until the transaction ends."""
    rows = tx.execute("SELECT device_id FROM missing_places WHERE missing_no = ?", (number,))
    if not rows:
        raise NoSuchPlacesError(number)
    tx.lock_device(rows[0]["device_id"])
    found = _from(tx.execute(f"{LISTED} WHERE m.missing_no = ?", (number,))[0])
    if found.state in (MissingState.WENT_ON, MissingState.CAME_AGAIN):
        raise NoSuchPlacesError(number)
    return found


def _not_shown(found: Missing) -> str:
    return (
        f"{found.device_id} was asked to send {found.lane.value} {found.first} to {found.last} again and has not shown"
        " yet that it no longer has them; wait for its next round"
    )


def _record(tx: Transaction, found: Missing, act: str, *, by: str, now_ms: int) -> None:
    audit.record(
        tx, at_ms=now_ms, who=by, act=act, device_id=found.device_id, lane=found.lane.value, epoch=found.epoch.hex(),
        first=found.first, last=found.last,
    )  # fmt: skip
