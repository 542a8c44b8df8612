"""Commands to the chip under secure messaging, with the SAM doing the cryptography.

Every secured command is three messages: the plain command to the SAM, what the SAM makes of it to the
chip, the chip's answer back to the SAM. The host checks the framing of ISO/IEC 7816-4 and nothing else.
"""

from drivers.card.apdu import CLA_SECURE, Command, Ins, Response
from drivers.card.base import CardConnection
from drivers.card.ektp.files import CIPHER_BLOCK, FIRST_READ, PREFIX, SECURED_CHUNK, Access, ChipFile
from drivers.card.ektp.sam import Sam
from drivers.card.errors import ChipDataError, StatusWordError
from drivers.card.exchange import exchange
from drivers.card.tlv import TlvError, parse
from drivers.errors import DeviceProtocolError

DO_CRYPTOGRAM, DO_LE, DO_STATUS, DO_MAC = 0x87, 0x97, 0x99, 0x8E


class SecureChannel:
    """An authenticated chip and the SAM that authenticated it."""

    def __init__(self, card: CardConnection, sam: Sam) -> None:
        self._card, self._sam = card, sam

    def transmit(self, plain: Command, doing: str) -> Response:
        """Wrap, send, unwrap. Gives plain data and the status word the chip protected.

        Raises
        ------
        StatusWordError
            The chip answered outside secure messaging, or the SAM did not accept its answer.
        DeviceProtocolError
            A message without the shape of secure messaging.
        """
        wrapped = self._sam.wrap(plain, doing)
        try:
            protected = Command.decode(wrapped)
        except ValueError as error:
            raise DeviceProtocolError(self._sam.name, doing, "the wrapped command is malformed") from error
        if protected.header != bytes([CLA_SECURE]) + plain.header[1:]:
            raise DeviceProtocolError(self._sam.name, doing, "the SAM wrapped another command")
        answer = exchange(self._card, protected, doing)
        if not answer.ok:
            raise StatusWordError(self._card.reader, doing, answer.sw, "under secure messaging")
        self._check_framing(answer.data, doing)
        return self._sam.unwrap(answer.data, doing)

    def select(self, file: ChipFile) -> None:
        """Select an elementary file."""
        doing = f"selecting {file.name}"
        plain = Command(0x00, Ins.SELECT, data=file.file_id.to_bytes(2, "big"))
        answer = self.transmit(plain, doing)
        if not answer.ok:
            raise StatusWordError(self._card.reader, doing, answer.sw)

    def read(self, file: ChipFile, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes of the selected file."""
        doing = f"reading {file.name}"
        answer = self.transmit(Command(0x00, Ins.READ_BINARY, offset >> 8, offset & 0xFF, le=size), doing)
        if not answer.ok:
            raise StatusWordError(self._card.reader, doing, answer.sw)
        return answer.data

    def read_file(self, file: ChipFile) -> "FileRead":
        """Select a file, read its length, and give what reads the rest piece by piece, in order."""
        self.select(file)
        head = self.read(file, 0, FIRST_READ)
        if len(head) < PREFIX:
            raise ChipDataError(self._card.reader, f"reading {file.name}", "no length prefix")
        length = int.from_bytes(head[:PREFIX], "big")
        if length > file.longest:
            raise ChipDataError(self._card.reader, f"reading {file.name}", f"claims {length} bytes")
        expected = min(FIRST_READ, PREFIX + length)
        if len(head) < expected:
            raise ChipDataError(self._card.reader, f"reading {file.name}", "first block is cut off")
        return FileRead(self, file, bytearray(head[:expected]), PREFIX + length)

    def chunk_missing(self, file: ChipFile, got: int, wanted: int) -> ChipDataError:
        """The error for a piece of another size than was asked for."""
        return ChipDataError(self._card.reader, f"reading {file.name}", f"{got} bytes instead of {wanted}")

    def _check_framing(self, protected: bytes, doing: str) -> None:
        try:
            tags = [data_object.tag for data_object in parse(protected)]
        except TlvError as error:
            raise DeviceProtocolError(self._card.reader, doing, f"malformed secured answer: {error}") from error
        if tags not in ([DO_STATUS, DO_MAC], [DO_CRYPTOGRAM, DO_STATUS, DO_MAC]):
            raise DeviceProtocolError(self._card.reader, doing, "secured answer with other data objects")


class FileRead:
    """One secured file while it is being read: strictly in order, for the SAM deciphers as data passes."""

    def __init__(self, channel: SecureChannel, file: ChipFile, content: bytearray, total: int) -> None:
        self._channel, self._file, self._content, self._total = channel, file, content, total

    @property
    def chunks_left(self) -> int:
        """Reads still needed."""
        return -(-(self._total - len(self._content)) // SECURED_CHUNK)

    def next_chunk(self) -> None:
        """Read one more piece; a ciphered file is asked for whole blocks and comes back trimmed."""
        offset = len(self._content)
        wanted = min(SECURED_CHUNK, self._total - offset)
        asked = wanted + -wanted % CIPHER_BLOCK if self._file.access is Access.CIPHERED else wanted
        data = self._channel.read(self._file, offset, asked)
        if len(data) != wanted:
            raise self._channel.chunk_missing(self._file, len(data), wanted)
        self._content += data

    def finish(self) -> bytearray:
        """Read what is left; give the payload without its prefix. The caller wipes it."""
        while self.chunks_left:
            self.next_chunk()
        payload = self._content[PREFIX:]
        self.wipe()
        return payload

    def wipe(self) -> None:
        """Overwrite what was read so far."""
        self._content[:] = bytes(len(self._content))
