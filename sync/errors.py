"""What can go wrong on the wire and in the queue: one exception per cause, with its facts as fields."""

import enum
from typing import ClassVar


class SyncError(Exception):
    """Root of everything this package raises.

    ``code`` is stable: logs, tests and the table of operator sentences key on it.
    ``retryable`` says whether doing the same again later can help.
    """

    code: ClassVar[str] = "sync"
    retryable: ClassVar[bool] = False


class Refusal(enum.StrEnum):
    """Why foreign bytes were refused. The word travels in receipts and logs and never changes its meaning."""

    TOO_LONG = "too_long"
    """More bytes, items or levels than this format may have."""
    TRUNCATED = "truncated"
    """The bytes end before the value they announce."""
    TRAILING_BYTES = "trailing_bytes"
    """Something follows the value."""
    NOT_CBOR = "not_cbor"
    """Not a CBOR item of the kinds we use (floats, indefinite lengths and unknown tags are not)."""
    NOT_DETERMINISTIC = "not_deterministic"
    """CBOR, but not the one encoding RFC 8949 section 4.2.1 allows for this value."""
    WRONG_TYPE = "wrong_type"
    """The value is of another type than its field."""
    UNKNOWN_TYPE = "unknown_type"
    """The message announces itself as something else."""
    UNKNOWN_VERSION = "unknown_version"
    """A version this program does not know."""
    UNKNOWN_KEY = "unknown_key"
    """A key this version does not have."""
    MISSING_KEY = "missing_key"
    """A key this version must have."""
    FIELD_TOO_LONG = "field_too_long"
    """One field is longer than its limit."""
    BAD_VALUE = "bad_value"
    """The field has the right type and length, and a value it may not have."""
    CONTRADICTION = "contradiction"
    """Each field is well formed; together they cannot be true."""
    UNKNOWN_ALGORITHM = "unknown_algorithm"
    """A signature algorithm or key type this program does not use."""
    UNKNOWN_SUITE = "unknown_suite"
    """An encryption suite this program does not use."""
    UNKNOWN_COMPRESSION = "unknown_compression"
    """A compression this program does not use."""
    NOT_EXPANDED = "not_expanded"
    """Compressed bytes that are damaged, or would expand to more than this format may have."""
    UNKNOWN_CRITICAL = "unknown_critical"
    """The sender marked a header as critical that this program does not know."""
    WRONG_KEY = "wrong_key"
    """Made with another key than the one expected."""
    BAD_SIGNATURE = "bad_signature"
    """The signature does not belong to these bytes and this key."""
    NOT_A_RECIPIENT = "not_a_recipient"
    """Not encrypted to this key."""
    NOT_OPENED = "not_opened"
    """Encrypted to this key, but changed on the way or bound to another header."""
    WRONG_DEVICE = "wrong_device"
    """Speaks of another device."""
    WRONG_NONCE = "wrong_nonce"
    """Answers another request: an old or repeated reply."""


class WireError(SyncError):
    """Bytes, or a value to be made into bytes, that the format does not allow.

    ``refusal`` is the named reason, ``field`` the path of the field (``bio.attempts[2].quality``).
    The message never repeats the value: it may be personal.
    """

    code: ClassVar[str] = "wire"

    def __init__(self, refusal: Refusal, field: str = "", detail: str = "") -> None:
        super().__init__(refusal.value + (f" at {field}" if field else "") + (f": {detail}" if detail else ""))
        self.refusal, self.field, self.detail = refusal, field, detail


class CborError(WireError):
    """Not one deterministic CBOR item within the limits."""

    code = "cbor"


class KeyFormatError(WireError):
    """A key that cannot be read or is of a kind we do not use."""

    code = "key_format"


class CoseError(WireError):
    """A COSE message whose structure, header or signature is not acceptable."""

    code = "cose"


class PacketError(WireError):
    """A claim packet that version 1 does not allow."""

    code = "packet"


class DocumentPartError(WireError):
    """A document part that version 1 does not allow."""

    code = "document_part"


class EnvelopeError(WireError):
    """An envelope that is malformed, not authentic, or not openable with this key."""

    code = "envelope"


class CheckpointError(WireError):
    """A batch or checkpoint that is malformed or not authentic."""

    code = "checkpoint"


class ReceiptError(WireError):
    """A receipt that is malformed, not authentic, or not the answer to our request."""

    code = "receipt"


class CommandError(WireError):
    """A command of head office with an unknown name or a body its name does not allow."""

    code = "command"


class StickFileError(WireError):
    """A file on a stick that is cut off, changed, or none of ours."""

    code = "stick_file"


class EnrolmentMessageError(WireError):
    """An enrolment request or reply, or an error reply, that is malformed."""

    code = "enrolment_message"


class RenewalError(WireError):
    """A renewal request or reply that is malformed or not authentic."""

    code = "renewal_message"


class TrustError(WireError):
    """An announcement of head office's keys that is malformed."""

    code = "trust"


class StorageError(SyncError):
    """The agent's database could not do what was asked; ``path`` is its file."""

    code: ClassVar[str] = "storage"

    def __init__(self, path: object, doing: str, detail: str = "") -> None:
        super().__init__(f"{path}: {doing}" + (f": {detail}" if detail else ""))
        self.path, self.doing, self.detail = str(path), doing, detail


class StorageInUseError(StorageError):
    """Another process holds the database: two agents on one state folder."""

    code = "storage_in_use"


class StorageFullError(StorageError):
    """The disk is full. Nothing of the failed transaction was kept."""

    code = "storage_full"
    retryable = True


class StorageReadOnlyError(StorageError):
    """Nothing can be written there: a wrong owner or mode, or a disk the kernel made read-only after an error."""

    code = "storage_read_only"


class StorageBrokenError(StorageError):
    """The disk failed a read or a flush. The file must be closed and checked before anybody trusts it again."""

    code = "storage_broken"


class StorageCorruptError(StorageError):
    """What stands in the file can not have been written by us."""

    code = "storage_corrupt"


class StorageSettingError(StorageError):
    """The engine is too old, or does not take a setting that durability rests on."""

    code = "storage_setting"


class StickError(SyncError):
    """A stick could not do what was asked of it. Nothing is lost: what was not written is still in the queue."""

    code: ClassVar[str] = "stick"
    retryable: ClassVar[bool] = True

    def __init__(self, folder: object, doing: str, detail: str = "") -> None:
        super().__init__(f"{folder}: {doing}" + (f": {detail}" if detail else ""))
        self.folder, self.doing, self.detail = str(folder), doing, detail


class StickMissingError(StickError):
    """There is no such folder: no stick in the machine, or another name."""

    code = "stick_missing"


class StickFullError(StickError):
    """No room on the stick for the next file; the ones before it are whole."""

    code = "stick_full"


class StickReadOnlyError(StickError):
    """The stick takes no writing: its switch, its file system, or this user's rights."""

    code = "stick_read_only"


class StickGoneError(StickError):
    """The stick went away or failed in the middle."""

    code = "stick_gone"


class StickFaultyError(StickError):
    """What was written is not what is read back."""

    code = "stick_faulty"


class StickUnanswerableError(SyncError):
    """A receipt from a stick for an export this device no longer knows of."""

    code: ClassVar[str] = "stick_unknown_export"


class ChainError(SyncError):
    """A packet that does not fit its place in the device's own chain: a mistake of ours, refused before it is kept."""

    code: ClassVar[str] = "chain"


class DeviceKeyError(SyncError):
    """A private key file that is missing, damaged, or readable by others; ``path`` is the file."""

    code: ClassVar[str] = "device_key"

    def __init__(self, path: object, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path, self.cause = str(path), cause


class KeyStoreError(DeviceKeyError):
    """The store that holds a key does not give it out: a token pulled out, a seal systemd does not open.

    ``cause`` names what is wrong, ``cure`` what a technician can do. Nothing else takes the store's place.
    """

    code = "key_store"
    retryable = True

    def __init__(self, path: object, cause: str, cure: str) -> None:
        super().__init__(path, f"{cause}; {cure}")
        self.cause, self.cure = cause, cure


class TokenPinError(KeyStoreError):
    """The token refused its PIN. Not tried again before the PIN file has changed: a token locks after a few tries."""

    code = "token_pin"
    retryable = False


class IdentityError(SyncError):
    """The device's identity is missing or contradicts itself; ``path`` is the file or folder."""

    code: ClassVar[str] = "identity"

    def __init__(self, path: object, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path, self.cause = str(path), cause


class NotEnrolledError(IdentityError):
    """There is no identity yet."""

    code = "not_enrolled"


class AddressError(SyncError):
    """What was given as head office's address cannot be one, or is not safe; ``cause`` says what is wrong."""

    code: ClassVar[str] = "head_office_address"

    def __init__(self, cause: str) -> None:
        super().__init__(f"the address {cause}")
        self.cause = cause


class EnrolmentTokenError(SyncError):
    """What was given as one-time token cannot be one: cut off, or something else. The message never repeats it."""

    code: ClassVar[str] = "enrolment_token"


class DeviceSerialError(SyncError):
    """The machine's serial number has letters head office does not take."""

    code: ClassVar[str] = "device_serial"


class AuthorityFileError(SyncError):
    """The file given as head office's certificate authority holds no certificate in PEM; ``path`` is the file."""

    code: ClassVar[str] = "authority_file"

    def __init__(self, path: object, cause: str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path, self.cause = str(path), cause


class Cause(enum.StrEnum):
    """Why head office could not be reached, or did not do what was asked. Each has one cure."""

    NAME_NOT_FOUND = "name_not_found"
    """The host name does not resolve: no network, or a wrong address."""
    CONNECTION_REFUSED = "connection_refused"
    """The machine answers, the program does not run."""
    UNREACHABLE = "unreachable"
    """No route, or the link broke."""
    TIMEOUT = "timeout"
    """No answer in the time allowed."""
    WRONG_CERTIFICATE = "wrong_certificate"
    """Somebody else answers: not the certificate pinned at enrolment."""
    CLOCK_WRONG = "clock_wrong"
    """The certificate is not valid at the time this machine believes it is."""
    OUR_CERTIFICATE_REFUSED = "our_certificate_refused"
    """Head office does not accept this device's TLS certificate."""
    CAPTIVE_PORTAL = "captive_portal"
    """A hotspot or proxy answers in head office's place."""
    BUSY = "busy"
    """Head office asks to come back later (429, 503)."""
    SERVER_ERROR = "server_error"
    """Head office failed (other 5xx)."""
    REFUSED = "refused"
    """Head office refused the request and named the reason (4xx)."""
    BROKEN_REPLY = "broken_reply"
    """The reply ended early, was too large, or was not what it announced."""
    BAD_RECEIPT = "bad_receipt"
    """The reply is not a receipt of head office for this request."""
    FORK = "fork"
    """Head office's chain is not ours: a restored or cloned device."""
    LANE_FROZEN = "lane_frozen"
    """Head office accepts nothing more in a chain of ours until a person has looked."""


class HeadOfficeError(SyncError):
    """A request to head office that brought no usable reply."""

    code: ClassVar[str] = "head_office"
    retryable: ClassVar[bool] = True

    def __init__(
        self, cause: Cause, detail: str = "", *, refused_as: str = "", hint: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(cause.value + (f" ({refused_as})" if refused_as else "") + (f": {detail}" if detail else ""))
        self.cause, self.detail = cause, detail
        self.refused_as, self.hint, self.retry_after_s = refused_as, hint, retry_after_s
