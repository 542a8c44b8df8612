"""One passport chip, read from top to bottom: application, basic access control, EF.COM, DG1, DG2.

What was proved: whoever read it knew the printed zone, and nothing was altered between chip and host. The issuing
state's signature (EF.SOD) is not checked, and a chip can be copied: :class:`Authenticity` says so, and nobody
may call the data verified.
"""

import enum
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from drivers.card.apdu import Command, Ins, Sw
from drivers.card.base import CardConnection
from drivers.card.emrtd.bac import SecuredPassport, open_by_bac
from drivers.card.emrtd.errors import NotAPassportError, PassportAccessError
from drivers.card.emrtd.files import APPLICATION, COM, DG1, DG2, PassportFile
from drivers.card.emrtd.lds import FaceImage, LdsError, data_groups, face_of, mrz_of
from drivers.card.emrtd.mrz import MrzHolder, MrzKey
from drivers.card.errors import ChipDataError
from drivers.card.exchange import exchange

T = TypeVar("T")


class PassportStep(enum.Enum):
    """Where the read is, for a progress bar; announced when the step begins."""

    SELECT = "select"
    AUTHENTICATE = "authenticate"
    CONTENTS = "contents"
    HOLDER = "holder"
    PHOTO = "photo"

    @property
    def fraction(self) -> float:
        """Share of the whole read that is done when this step begins, 0 to 1 (by bytes: nearly all are the photo)."""
        return _DONE_BEFORE[self]


_DONE_BEFORE = {
    PassportStep.SELECT: 0.0,
    PassportStep.AUTHENTICATE: 0.02,
    PassportStep.CONTENTS: 0.06,
    PassportStep.HOLDER: 0.1,
    PassportStep.PHOTO: 0.15,
}


class Authenticity(enum.Enum):
    """What is known of who made the data."""

    NOT_CHECKED = "not_checked"
    """Nobody's signature was checked: the chip opened with the printed zone, no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PassportRecord:
    """Holder and face of one passport; :meth:`wipe` it on every way out."""

    reader: str
    holder: MrzHolder
    face: FaceImage | None
    """None when the chip holds no DG2 or none that can be taken apart; then a warning says which."""
    authenticity: Authenticity
    warnings: tuple[str, ...] = field(default=())
    """Oddities that were met and passed over, as stable words (``photo_missing``, ...)."""

    def wipe(self) -> None:
        """Overwrite the face; safe to call twice."""
        if self.face is not None:
            self.face.content.wipe()


def _silent(_step: PassportStep) -> None:
    """Progress that nobody watches."""


def read_passport(
    card: CardConnection,
    key: MrzKey,
    progress: Callable[[PassportStep], None] = _silent,
    *,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> PassportRecord:
    """Read holder and face; the connection is the caller's to close, the record the caller's to wipe.

    Raises
    ------
    NotAPassportError
        No eMRTD application on this card.
    PassportAccessError
        The chip does not offer basic access control.
    MrzMismatchError
        The key does not open it.
    ChipAuthenticationError
        Chip and host do not accept each other, or an answer was altered.
    ChipDataError, StatusWordError, DeviceError
        An answer that does not fit its step, or the link broke.
    """
    progress(PassportStep.SELECT)
    _select_application(card)
    progress(PassportStep.AUTHENTICATE)
    chip = open_by_bac(card, key, random)
    warnings = []
    progress(PassportStep.CONTENTS)
    com = chip.read_file(COM)
    if com is None:
        warnings.append("com_missing")
    elif not {DG1.tag, DG2.tag} <= _taken(card, COM, lambda: data_groups(com)):
        warnings.append("com_incomplete")

    progress(PassportStep.HOLDER)
    holder = _read_holder(card, chip)
    if (holder.document_number, holder.birth_field, holder.expiry_field) != (
        key.document_number,
        key.birth_date,
        key.expiry_date,
    ):
        warnings.append("dg1_differs_from_printed")

    progress(PassportStep.PHOTO)
    face, word = _read_face(chip)
    if word:
        warnings.append(word)
    return PassportRecord(
        reader=card.reader,
        holder=holder,
        face=face,
        authenticity=Authenticity.NOT_CHECKED,
        warnings=tuple(warnings),
    )


def _select_application(card: CardConnection) -> None:
    doing = "selecting the passport application"
    answer = exchange(card, Command(0x00, Ins.SELECT, 0x04, 0x0C, APPLICATION), doing)
    if answer.sw in (Sw.SECURITY_STATUS_NOT_SATISFIED, Sw.CONDITIONS_NOT_SATISFIED):
        raise PassportAccessError(card.reader, doing, answer.sw, "the chip wants PACE first")
    if not answer.ok:
        raise NotAPassportError(card.reader, doing, f"status word {answer.sw:04X}")


def _read_holder(card: CardConnection, chip: SecuredPassport) -> MrzHolder:
    content = chip.read_file(DG1)
    if content is None:
        raise ChipDataError(card.reader, "reading DG1", "there is none")
    try:
        return _taken(card, DG1, lambda: mrz_of(content))
    finally:
        content[:] = bytes(len(content))


def _read_face(chip: SecuredPassport) -> tuple[FaceImage | None, str]:
    """The face, or a word why there is none: the operator then compares with the printed page."""
    content = chip.read_file(DG2)
    if content is None:
        return None, "photo_missing"
    try:
        return face_of(content), ""
    except LdsError:
        return None, "photo_unreadable"
    finally:
        content[:] = bytes(len(content))


def _taken(card: CardConnection, file: PassportFile, take: Callable[[], T]) -> T:
    try:
        return take()
    except LdsError as error:
        raise ChipDataError(card.reader, f"reading {file.name}", str(error)) from error
