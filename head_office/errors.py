"""What can go wrong at head office, named by cause, with the facts as fields."""

from typing import ClassVar


class HeadOfficeError(Exception):
    """Head office could not do what was asked of it.

    ``code`` is stable: devices, logs and tests key on it. ``status`` is the HTTP status it is answered with,
    ``hint`` the sentence for whoever has to put it right; neither ever tells whether a person or a claim is known.
    """

    code: ClassVar[str] = "head_office"
    status: ClassVar[int] = 500
    hint: ClassVar[str] = "see the log of head office"


class LedgerError(HeadOfficeError):
    """The ledger did not do what it promises; nothing of the current transaction was stored."""

    code = "storage_unavailable"
    status = 503
    hint = "head office cannot store at the moment; keep the packets and try again later"


class LedgerBusyError(LedgerError):
    """Another process held the ledger's write lock for too long."""


class LedgerFullError(LedgerError):
    """The disk is full."""


class LedgerBrokenError(LedgerError):
    """A read or flush failed: the process has to end and start again with an integrity check.

    A failed flush is never repeated in place, because the kernel may have dropped the pages and report success.
    """


class LedgerAwayError(LedgerError):
    """The database server cannot be reached, or went away before COMMIT: nothing was stored."""


class LedgerUnknownError(LedgerError):
    """The connection was lost during COMMIT: stored or not, nobody here knows.

    The device keeps its packets and sends them again; their own digests tell which of the two it was.
    """


class LedgerSettingsError(LedgerError):
    """The engine did not take a setting on which durability rests."""

    def __init__(self, setting: str, wanted: str, got: str) -> None:
        super().__init__(f"{setting} reads back {got!r}, not {wanted!r}")
        self.setting, self.wanted, self.got = setting, wanted, got


class HomeError(HeadOfficeError):
    """A file of head office's own folder is missing, unreadable or not private."""

    code = "home"

    def __init__(self, what: str, cure: str) -> None:
        super().__init__(f"{what}; {cure}")
        self.what, self.cure = what, cure


class ListenError(HeadOfficeError):
    """The address to serve on cannot be had."""

    code = "listen"

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"{path} {cause}")
        self.path, self.cause = path, cause


class DocumentNotReadError(HeadOfficeError):
    """A document's parts cannot be opened here and now; they stay as they came."""

    code = "document_not_read"
    status = 503
    hint = "the process that opens documents does not run here, or a key is missing; see the log of head office"


class RefusedError(HeadOfficeError):
    """A request was not authentic or not acceptable; nothing was stored."""

    code = "refused"
    status = 400
    hint = "the request was not understood"


class TokenRefusedError(RefusedError):
    """The enrolment token is unknown, used, expired or meant for another device: deliberately one answer."""

    code = "token_refused"
    status = 403
    hint = "ask head office for a new enrolment token; a token works once and for 24 hours"


class BadRequestError(RefusedError):
    """The body is not what the protocol asks for."""

    code = "bad_request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class UnknownVersionError(RefusedError):
    """The message is of a version or suite this head office does not speak."""

    code = "unknown_version"
    hint = "this head office does not know that message version or suite; update one of the two"


class TooLargeError(RefusedError):
    """The body, or the number of packets in it, is over the limit."""

    code = "too_large"
    status = 413
    hint = "send smaller batches"


class BadKeyRequestError(RefusedError):
    """A certificate request is malformed, not signed by its own key, or of a key kind that is not accepted."""

    code = "bad_key_request"
    hint = "send PKCS#10 requests signed by their own Ed25519 or P-256 key, one key for each purpose"


class CertificateRequiredError(RefusedError):
    """The TLS connection carries no client certificate."""

    code = "client_certificate_required"
    status = 401
    hint = "connect with the TLS certificate given at enrolment"


class CertificateRefusedError(RefusedError):
    """The client certificate is not one of a device known here."""

    code = "client_certificate_refused"
    status = 403
    hint = "this certificate belongs to no device enrolled here; enrol again"


class CertificateExpiredError(RefusedError):
    """The client certificate is outside its validity by head office's clock."""

    code = "client_certificate_expired"
    status = 403
    hint = "the device's certificate has expired; renew it or enrol again"


class CertificateSupersededError(RefusedError):
    """The client certificate is for a key the device has replaced since: a copy of it from before."""

    code = "keys_replaced"
    status = 403
    hint = "this device has newer keys; a machine restored from a copy has to be enrolled again"


class RenewalRefusedError(RefusedError):
    """A renewal that is not signed with the device's present signing key."""

    code = "renewal_refused"
    status = 403
    hint = "a renewal must be signed with the device's present signing key; enrol again when it is lost"


class OtherClusterError(RefusedError):
    """A device that belongs to another cluster and was never at this one.

    The hint says where, for the person who looks into it: only a signed command moves a device.
    """

    code = "other_cluster"
    status = 421

    def __init__(self, device_id: str, name: str, url: str) -> None:
        super().__init__(f"{device_id} belongs to cluster {name}")
        self.hint = f"this device belongs to the cluster {name} at {url}"  # type: ignore[misc]  # one class, and a sentence for each case


class DeviceBlockedError(RefusedError):
    """The device is on the deny list."""

    code = "device_blocked"
    status = 403
    hint = "this device was blocked at head office; its packets stay on it until it is released"


class NotYourCheckpointError(RefusedError):
    """The checkpoint names, or is signed by, another device than the one the TLS certificate belongs to."""

    code = "not_your_checkpoint"
    status = 403
    hint = "the checkpoint must be signed by the device that holds the connection"
