"""Why an answer of a device service is not believed, and what a service says of itself: each cause with a name."""

import contextlib
import enum
from collections.abc import Iterator

from drivers.errors import DeviceError, DeviceProtocolError


class Refusal(enum.Enum):
    """What is wrong with an answer. The words stand in the log and in the technician's view."""

    # the line
    NOT_HTTP = "not_http"
    STATUS = "http_status"
    CONTENT_TYPE = "content_type"
    OVERSIZED = "oversized"
    CUT_SHORT = "cut_short"
    NOT_JSON = "not_json"
    SHAPE = "shape"
    CALLBACK = "callback_elsewhere"
    # the item
    DATA_AND_ERROR = "data_and_error"
    ENCRYPTED = "encrypted_to_somebody_else"
    # the signature
    NOT_SIGNED = "not_signed"
    ALGORITHM = "algorithm"
    NO_CERTIFICATE = "no_certificate"
    SIGNATURE = "signature"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET = "certificate_not_yet_valid"
    CERTIFICATE_CHAIN = "certificate_chain"
    CERTIFICATE_UNFIT = "certificate_unfit"
    # what was asked
    TRANSACTION = "transaction_id"
    VERSION = "spec_version"
    PURPOSE = "purpose"
    ENVIRONMENT = "environment"
    COUNT = "count"
    FINGER = "finger"
    FINGER_TWICE = "finger_twice"
    TYPE = "biometric_type"
    # who answers
    DIGITAL_ID = "digital_id"
    DEVICE_CODE = "device_code"
    DEVICE_KIND = "device_kind"
    # which capture
    HASH_CHAIN = "hash_chain"
    TIME_FORM = "time_form"
    TIME_OLD = "time_old"
    TIME_AHEAD = "time_ahead"
    # the picture
    RECORD = "record"
    RECORD_EDITION = "record_edition"
    POSITION = "record_position"
    DEPTH = "record_depth"
    RESOLUTION = "record_resolution"
    COMPRESSION = "record_compression"
    PICTURE = "picture"
    QUALITY = "quality"


class WrongAnswerError(ValueError):
    """Raised by the pure checks, which do not know whose answer they look at; see :func:`named`."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        super().__init__(refusal.value + (f": {detail}" if detail else ""))
        self.refusal, self.detail = refusal, detail


class AnswerRefusedError(DeviceProtocolError):
    """The service answered something that is not believed; ``refusal`` says what."""

    code = "sbi_answer_refused"

    def __init__(self, device: str, doing: str, refusal: Refusal, detail: str = "") -> None:
        super().__init__(device, doing, refusal.value + (f" ({detail})" if detail else ""))
        self.refusal = refusal


class DeviceSaysError(DeviceError):
    """The service reports a failure that nobody at the counter can put right."""

    code = "sbi_device_says"

    def __init__(self, device: str, doing: str, number: str, words: str) -> None:
        super().__init__(device, doing, f"device says {number}" + (f": {words}" if words else ""))
        self.number, self.words = number, words


class RootsError(DeviceError):
    """The folder of certificates that vouch for devices cannot be used."""

    code = "sbi_roots"

    def __init__(self, folder: str, detail: str) -> None:
        super().__init__(f"device certificates {folder}", "read", detail)
        self.folder = folder


@contextlib.contextmanager
def named(device: str, doing: str) -> Iterator[None]:
    """Put the name of the device on what the checks inside find."""
    try:
        yield
    except WrongAnswerError as error:
        raise AnswerRefusedError(device, doing, error.refusal, error.detail) from error
