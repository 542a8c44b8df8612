"""One e-KTP, read from top to bottom.

The order is that of the field: open the SAM, photo in clear, authenticate chip and SAM to each other,
then the secured files with the data signature hashed as they pass. C is the card, S the SAM.
"""

import enum
from collections.abc import Callable

from drivers.card.apdu import Command, Ins, Response
from drivers.card.base import CardConnection
from drivers.card.ektp.biodata import FIELDS, parse_biodata
from drivers.card.ektp.files import (
    BIODATA,
    CARD_CONTROL,
    CARD_CONTROL_LENGTHS,
    CARD_CONTROL_READ,
    DATA_SIGNATURE,
    DATA_SIGNATURE_SIZE,
    DF_EKTP,
    FIRST_READ,
    MINUTIAE_1,
    MINUTIAE_2,
    PHOTO,
    PLAIN_CHUNK,
    PREFIX,
    SIGNATURE_IMAGE,
    ChipFile,
)
from drivers.card.ektp.record import CardRecord, CardType, DataSignature
from drivers.card.ektp.sam import MUTUAL_AUTH_SIZE, Sam, SamSecrets
from drivers.card.ektp.secure_channel import FileRead, SecureChannel
from drivers.card.ektp.template_file import check_template
from drivers.card.errors import ChipAuthenticationError, ChipDataError, StatusWordError, UnknownChipError
from drivers.card.exchange import exchange
from drivers.sensitive import SensitiveBytes


class ReadStep(enum.Enum):
    """Where the read is, for a progress bar; announced when the step begins."""

    OPEN_SAM = "open_sam"
    SELECT = "select"
    PHOTO = "photo"
    AUTHENTICATE = "authenticate"
    SIGNATURE = "signature"
    BIODATA = "biodata"
    SIGNATURE_IMAGE = "signature_image"
    MINUTIAE_1 = "minutiae_1"
    MINUTIAE_2 = "minutiae_2"
    VERIFY = "verify"

    @property
    def fraction(self) -> float:
        """Share of the whole read that is done when this step begins, 0 to 1 (by number of messages)."""
        return _DONE_BEFORE[self]


_DONE_BEFORE = {
    ReadStep.OPEN_SAM: 0.0,
    ReadStep.SELECT: 0.04,
    ReadStep.PHOTO: 0.08,
    ReadStep.AUTHENTICATE: 0.22,
    ReadStep.SIGNATURE: 0.32,
    ReadStep.BIODATA: 0.42,
    ReadStep.SIGNATURE_IMAGE: 0.58,
    ReadStep.MINUTIAE_1: 0.78,
    ReadStep.MINUTIAE_2: 0.87,
    ReadStep.VERIFY: 0.98,
}


_SMALLEST_PHOTO = 200
"""Bytes; the headers of a JPEG alone need more."""


def _silent(_step: ReadStep) -> None:
    """Progress that nobody watches."""


def read_card(
    card: CardConnection,
    sam: CardConnection,
    secrets: SamSecrets,
    progress: Callable[[ReadStep], None] = _silent,
) -> CardRecord:
    """Read holder, photo and templates in one transaction; both connections are the caller's to close.

    On every way out the SAM is reset and what was read is wiped, except what the record returned holds:
    that is the caller's to wipe.

    Raises
    ------
    SamLockedError
        The SAM refused PCID/CONFIG, now or before. Nothing is tried again.
    UnknownChipError
        No e-KTP application on this card.
    ChipAuthenticationError
        Chip and SAM do not accept each other.
    StatusWordError, ChipDataError, DeviceProtocolError
        An answer that does not fit its step.
    CardRemovedError, SamMissingError, DeviceError
        The link to card or SAM broke.
    """
    held = _Held()
    sam_verbs = Sam(sam)
    try:
        record = _transaction(card, sam_verbs, secrets, progress, held)
    except BaseException:
        held.wipe()
        raise
    finally:
        sam_verbs.reset_on_the_way_out()
        held.wipe_scratch()
    return record


def _transaction(
    card: CardConnection, sam: Sam, secrets: SamSecrets, progress: Callable[[ReadStep], None], held: "_Held"
) -> CardRecord:
    warnings: list[str] = []

    progress(ReadStep.OPEN_SAM)
    sam.open(secrets)  # S F0, once
    sam_uid = sam.uid()  # S F7, for the packet
    if not sam_uid:
        warnings.append("sam_uid_unknown")

    progress(ReadStep.SELECT)
    reader_uid = _reader_uid(card)  # C FF CA
    _select_application(card)  # C A4 7F0A

    progress(ReadStep.PHOTO)
    photo_chunks = held.keep_all(_read_photo(card))  # C A4 6FF2, B0...

    progress(ReadStep.AUTHENTICATE)
    card_type, uid = _chip_uid(card, reader_uid)  # C DD
    control = _read_card_control(card)  # C A4 6FF0, B0
    if len(control) not in CARD_CONTROL_LENGTHS:
        warnings.append("card_control_length")
    sam.reset()  # S FF
    challenge = _get_challenge(card)  # C 84
    ours = sam.generate_mutual_auth(control, uid, challenge)  # S F1
    theirs = _mutual_authenticate(card, ours)  # C 82
    sam.verify_mutual_auth(theirs)  # S F2: a genuine chip, the channel is up
    channel = SecureChannel(card, sam)

    progress(ReadStep.SIGNATURE)
    channel.select(DATA_SIGNATURE)
    signature = channel.read(DATA_SIGNATURE, 0, DATA_SIGNATURE_SIZE)
    if len(signature) != DATA_SIGNATURE_SIZE:
        raise channel.chunk_missing(DATA_SIGNATURE, len(signature), DATA_SIGNATURE_SIZE)
    sam.start_signature(signature)  # S FA 00, FA 06

    progress(ReadStep.BIODATA)
    line = held.keep(held.open(channel.read_file(BIODATA)).finish())
    biodata = parse_biodata(bytes(line))
    if len(biodata.extra):
        warnings.append(f"biodata_{FIELDS + len(biodata.extra)}_fields")
    if not all(sam.verify_plain(bytes(chunk)) for chunk in photo_chunks):  # S FA 03, as each piece was read
        warnings.append("photo_not_hashed")

    sam.start_deciphering()  # S FA 05
    progress(ReadStep.SIGNATURE_IMAGE)
    signature_image = held.result(held.open(channel.read_file(SIGNATURE_IMAGE)).finish())
    progress(ReadStep.MINUTIAE_1)
    first = held.keep(held.open(channel.read_file(MINUTIAE_1)).finish())
    progress(ReadStep.MINUTIAE_2)
    second = held.keep(_finish_last(held.open(channel.read_file(MINUTIAE_2)), sam))  # S FA 02 before its last chunk

    progress(ReadStep.VERIFY)
    data_signature = DataSignature(raw=sam.signature_result())  # S FA 04

    templates = []
    for number, content in ((1, first), (2, second)):
        finding = check_template(content, card.reader, f"reading minutiae {number}")
        if finding.warning:
            warnings.append(f"finger_{number}_{finding.warning}")
        if finding.usable:
            templates.append(held.result(content))
    photo, photo_warning = _jpeg(b"".join(photo_chunks)[PREFIX:])
    if photo_warning:
        warnings.append(photo_warning)

    return CardRecord(
        reader=card.reader,
        sam_reader=sam.name,
        sam_uid=sam_uid,
        card_type=card_type,
        biodata=biodata,
        photo=photo,
        signature_image=signature_image,
        templates=tuple(templates),
        chip_authenticated=True,
        data_signature=data_signature,
        warnings=tuple(warnings),
    )


def _reader_uid(card: CardConnection) -> bytes:
    doing = "asking the reader for the card's number"
    answer = exchange(card, Command(0xFF, Ins.GET_DATA, le=256), doing)
    if not answer.ok:
        raise StatusWordError(card.reader, doing, answer.sw, "only one card may lie on the reader")
    return answer.data


def _select_application(card: CardConnection) -> None:
    answer = _select(card, DF_EKTP)
    if not answer.ok:
        raise UnknownChipError(card.reader, "selecting the e-KTP application", f"status word {answer.sw:04X}")


def _read_photo(card: CardConnection) -> list[bytearray]:
    """The photo file in the pieces it was read in, length prefix included: the SAM hashes it so."""
    _select_file(card, PHOTO)
    head = _read_plain(card, PHOTO, 0, FIRST_READ)
    if len(head) < PREFIX:
        raise ChipDataError(card.reader, "reading photo", "no length prefix")
    length = int.from_bytes(head[:PREFIX], "big")
    if length > PHOTO.longest:
        raise ChipDataError(card.reader, "reading photo", f"claims {length} bytes")
    total = PREFIX + length
    chunks = [bytearray(head[:total])]
    offset = len(chunks[0])
    while offset < total:
        wanted = min(PLAIN_CHUNK, total - offset)
        data = _read_plain(card, PHOTO, offset, wanted)
        if len(data) != wanted:
            raise ChipDataError(card.reader, "reading photo", f"{len(data)} bytes instead of {wanted}")
        chunks.append(bytearray(data))
        offset += wanted
    return chunks


def _chip_uid(card: CardConnection, reader_uid: bytes) -> tuple[CardType, bytes]:
    """The 8 bytes the authentication works with: type B tells them itself, type A is ``80`` and the UID."""
    doing = "asking the chip for its number"
    form_1 = exchange(card, Command(0x00, 0xDD, le=8), doing)
    if form_1.ok and len(form_1.data) == 8:
        return CardType.B, form_1.data
    if len(reader_uid) == 7:
        return CardType.A, b"\x80" + reader_uid
    form_2 = exchange(card, Command(0x00, 0xDF, le=256), doing)
    if form_2.ok and len(form_2.data) >= 8:
        return CardType.B, form_2.data[-8:]
    raise ChipDataError(card.reader, doing, f"no 8-byte number, and {len(reader_uid)} bytes from the reader")


def _read_card_control(card: CardConnection) -> bytes:
    """The card control with its stated length; what it means is not public, it goes to the SAM unchanged."""
    _select_file(card, CARD_CONTROL)
    content = _read_plain(card, CARD_CONTROL, 0, CARD_CONTROL_READ)
    length = int.from_bytes(content[:PREFIX], "big")
    if len(content) < PREFIX or not 0 < length <= CARD_CONTROL.longest:
        raise ChipDataError(card.reader, "reading card control", f"claims {length} bytes")
    missing = PREFIX + length - len(content)
    if missing > 0:
        content += _read_plain(card, CARD_CONTROL, len(content), missing)
    control = content[PREFIX : PREFIX + length]
    if len(control) != length:
        raise ChipDataError(card.reader, "reading card control", f"{len(control)} bytes instead of {length}")
    return control


def _get_challenge(card: CardConnection) -> bytes:
    doing = "asking the chip for a challenge"
    answer = exchange(card, Command(0x00, Ins.GET_CHALLENGE, le=8), doing)
    if not answer.ok or len(answer.data) != 8:
        raise ChipAuthenticationError(card.reader, doing, answer.sw, f"{len(answer.data)} bytes")
    return answer.data


def _mutual_authenticate(card: CardConnection, ours: bytes) -> bytes:
    doing = "authenticating chip and SAM"
    command = Command(0x00, Ins.EXTERNAL_AUTHENTICATE, data=ours, le=MUTUAL_AUTH_SIZE)
    answer = exchange(card, command, doing)
    if not answer.ok or len(answer.data) != MUTUAL_AUTH_SIZE:
        raise ChipAuthenticationError(card.reader, doing, answer.sw, f"the chip answers {len(answer.data)} bytes")
    return answer.data


def _finish_last(file: FileRead, sam: Sam) -> bytearray:
    """Finish the last file; the SAM is told to stop hashing just before its last chunk."""
    while file.chunks_left > 1:
        file.next_chunk()
    sam.stop_signature()
    return file.finish()


def _jpeg(content: bytes) -> tuple[bytes, str]:
    """From SOI to the last EOI, and a word when something is amiss: padding on cards is not public."""
    if len(content) < _SMALLEST_PHOTO:
        return b"", "photo_missing"
    start = content.find(b"\xff\xd8")
    if start < 0:
        return b"", "photo_without_soi"
    end = content.rfind(b"\xff\xd9")
    if end < start:
        return content[start:], "photo_without_eoi"
    return content[start : end + 2], ""


def _select(card: CardConnection, file_id: int) -> Response:
    return exchange(card, Command(0x00, Ins.SELECT, data=file_id.to_bytes(2, "big")), f"selecting {file_id:04X}")


def _select_file(card: CardConnection, file: ChipFile) -> None:
    answer = _select(card, file.file_id)
    if not answer.ok:
        raise StatusWordError(card.reader, f"selecting {file.name}", answer.sw)


def _read_plain(card: CardConnection, file: ChipFile, offset: int, size: int) -> bytes:
    answer = exchange(card, Command(0x00, Ins.READ_BINARY, offset >> 8, offset & 0xFF, le=size), f"reading {file.name}")
    if not answer.ok:
        raise StatusWordError(card.reader, f"reading {file.name}", answer.sw)
    return answer.data


class _Held:
    """What the read holds in memory: scratch is wiped always, results only when the read fails."""

    def __init__(self) -> None:
        self._scratch: list[bytearray] = []
        self._files: list[FileRead] = []
        self._results: list[SensitiveBytes] = []

    def keep(self, buffer: bytearray) -> bytearray:
        """Wipe this buffer in the end."""
        self._scratch.append(buffer)
        return buffer

    def keep_all(self, buffers: list[bytearray]) -> list[bytearray]:
        """Wipe these buffers in the end."""
        self._scratch += buffers
        return buffers

    def open(self, file: FileRead) -> FileRead:
        """Wipe what was read of this file should the read stop in its middle."""
        self._files.append(file)
        return file

    def result(self, buffer: bytearray) -> SensitiveBytes:
        """Move a buffer's content into the record."""
        sensitive = SensitiveBytes(self.keep(buffer))
        self._results.append(sensitive)
        return sensitive

    def wipe_scratch(self) -> None:
        """The read is over, well or badly."""
        for buffer in self._scratch:
            buffer[:] = bytes(len(buffer))
        for file in self._files:
            file.wipe()

    def wipe(self) -> None:
        """The read failed: nothing of it stays."""
        self.wipe_scratch()
        for sensitive in self._results:
            sensitive.wipe()
