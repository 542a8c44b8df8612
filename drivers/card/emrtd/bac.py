"""Basic access control (ICAO Doc 9303 part 11, section 4.3) and the secured commands that follow it.

The host computes everything: its static keys come from the machine-readable zone, there is no SAM.
"""

from collections.abc import Callable

from drivers.card.apdu import Command, Ins, Response, Sw
from drivers.card.base import CardConnection
from drivers.card.emrtd.errors import MrzMismatchError, PassportAccessError
from drivers.card.emrtd.files import FIRST_READ, READ_CHUNK, SELECT_BY_ID, PassportFile
from drivers.card.emrtd.mrz import MrzKey
from drivers.card.errors import ChipAuthenticationError, ChipDataError, StatusWordError
from drivers.card.exchange import exchange
from drivers.card.secure_messaging import Channel, SecureMessagingError, open_cryptogram, seal_cryptogram, session
from drivers.card.tlv import TlvError, read_length, read_tag

CHALLENGE_SIZE, KEY_SIZE, SEALED_SIZE = 8, 16, 40

_NOT_OFFERED = (
    Sw.INSTRUCTION_NOT_SUPPORTED,
    Sw.CLASS_NOT_SUPPORTED,
    Sw.SECURITY_STATUS_NOT_SATISFIED,
    Sw.CONDITIONS_NOT_SATISFIED,
)


def open_by_bac(card: CardConnection, key: MrzKey, random: Callable[[int], bytes]) -> "SecuredPassport":
    """Authenticate host and chip to each other; ``random`` gives that many unpredictable bytes.

    Raises
    ------
    PassportAccessError
        The chip gives no challenge.
    MrzMismatchError
        It does not accept the key.
    ChipAuthenticationError
        It accepts the key and does not prove that it knows it.
    """
    doing = "asking the chip for a challenge"
    challenge = exchange(card, Command(0x00, Ins.GET_CHALLENGE, le=CHALLENGE_SIZE), doing)
    if challenge.sw in _NOT_OFFERED:
        raise PassportAccessError(card.reader, doing, challenge.sw, "the chip does not offer basic access control")
    if not challenge.ok or len(challenge.data) != CHALLENGE_SIZE:
        raise StatusWordError(card.reader, doing, challenge.sw, f"{len(challenge.data)} bytes")
    doing = "opening the chip with the machine-readable zone"
    keys, rnd_icc = key.keys(), challenge.data
    rnd_ifd, k_ifd = random(CHALLENGE_SIZE), random(KEY_SIZE)
    ours = seal_cryptogram(keys, rnd_ifd + rnd_icc + k_ifd)
    answer = exchange(card, Command(0x00, Ins.EXTERNAL_AUTHENTICATE, data=ours, le=SEALED_SIZE), doing)
    if not answer.ok:
        raise MrzMismatchError(card.reader, doing, answer.sw)
    try:
        theirs = open_cryptogram(keys, answer.data)
    except SecureMessagingError as error:
        raise ChipAuthenticationError(card.reader, doing, answer.sw, "the chip's answer is not authentic") from error
    if theirs[:8] != rnd_icc or theirs[8:16] != rnd_ifd:
        raise ChipAuthenticationError(card.reader, doing, answer.sw, "the chip answers another challenge")
    return SecuredPassport(card, session(k_ifd, theirs[16:], rnd_ifd, rnd_icc))


class SecuredPassport:
    """A chip whose channel is open: select and read, protected both ways."""

    def __init__(self, card: CardConnection, channel: Channel) -> None:
        self._card, self._channel = card, channel

    def read_file(self, file: PassportFile) -> bytearray | None:
        """The whole file, tag and length included, for the caller to wipe; None when the chip has none.

        Raises
        ------
        ChipDataError
            Another tag than the file's, a length beyond reason, or a torn piece.
        StatusWordError, ChipAuthenticationError, DeviceError
            As :meth:`transmit`.
        """
        if not self.select(file):
            return None
        doing = f"reading {file.name}"
        head = self.read(file, 0, FIRST_READ)
        try:
            tag, offset = read_tag(head, 0)
            length, offset = read_length(head, offset)
        except TlvError as error:
            raise ChipDataError(self._card.reader, doing, "no tag and length") from error
        total = offset + length
        if tag != file.tag:
            raise ChipDataError(self._card.reader, doing, f"tag {tag:X} instead of {file.tag:X}")
        if total > file.longest:
            raise ChipDataError(self._card.reader, doing, f"claims {length} bytes")
        content = bytearray(head[:total])
        while len(content) < total:
            wanted = min(READ_CHUNK, total - len(content))
            piece = self.read(file, len(content), wanted)
            if len(piece) != wanted:
                raise ChipDataError(self._card.reader, doing, f"{len(piece)} bytes instead of {wanted}")
            content += piece
        return content

    def select(self, file: PassportFile) -> bool:
        """Select an elementary file; False when the chip has none of that id."""
        doing = f"selecting {file.name}"
        answer = self.transmit(Command(0x00, Ins.SELECT, *SELECT_BY_ID, data=file.file_id.to_bytes(2, "big")), doing)
        if answer.sw == Sw.FILE_NOT_FOUND:
            return False
        if not answer.ok:
            raise StatusWordError(self._card.reader, doing, answer.sw)
        return True

    def read(self, file: PassportFile, offset: int, size: int) -> bytes:
        """Up to ``size`` bytes of the selected file."""
        doing = f"reading {file.name}"
        answer = self.transmit(Command(0x00, Ins.READ_BINARY, offset >> 8, offset & 0xFF, le=size), doing)
        if not answer.ok:
            raise StatusWordError(self._card.reader, doing, answer.sw)
        return answer.data

    def transmit(self, plain: Command, doing: str) -> Response:
        """Protect, send, open. Gives plain data and the status word the chip protected.

        Raises
        ------
        StatusWordError
            The chip answered outside secure messaging.
        ChipAuthenticationError
            Its answer was altered, replayed, or is not of this channel.
        """
        protected = Command.decode(self._channel.wrap_command(plain))
        answer = exchange(self._card, protected, doing)
        if not answer.ok and not answer.data:
            raise StatusWordError(self._card.reader, doing, answer.sw, "outside secure messaging")
        try:
            return self._channel.unwrap_response(answer.data)
        except SecureMessagingError as error:
            raise ChipAuthenticationError(self._card.reader, doing, answer.sw, f"not authentic: {error}") from error
