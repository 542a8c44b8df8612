"""What the agent itself refuses or cannot do, apart from devices, matcher, wire and settings."""

from typing import ClassVar


class AgentError(Exception):
    """The agent cannot do what was asked. ``code`` keys the sentence in ``outcomes``."""

    code: ClassVar[str] = "agent"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail


class NoDaemonError(AgentError):
    """Nobody answers on the agent's socket."""

    code = "no_daemon"
    retryable = True


class CallerUnknownError(AgentError):
    """The request carries no credential of this machine, or a wrong one."""

    code = "caller_unknown"


class CallerForbiddenError(AgentError):
    """The credential is good, but not for this."""

    code = "caller_forbidden"


class ForeignPageError(AgentError):
    """Host or Origin is not this machine's own: a page from elsewhere tries to use the agent."""

    code = "foreign_page"


class RequestTooLargeError(AgentError):
    """The request body is longer than ``api.request_limit_bytes``."""

    code = "request_too_large"


class BadRequestError(AgentError):
    """The request does not have the shape the interface describes."""

    code = "bad_request"


class NotFoundError(AgentError):
    """No such claim, person or address."""

    code = "not_found"


class NotSignedInError(AgentError):
    """The request needs an operator who has signed in, or the operator was idle too long."""

    code = "not_signed_in"


class WrongPinError(AgentError):
    """No such person with that role, or the PIN is wrong; which of them is not told."""

    code = "wrong_pin"


class WrongRoleError(AgentError):
    """The PIN is right, the person has another role."""

    code = "wrong_role"


class NotYourClaimError(AgentError):
    """Somebody else opened this claim; it stays bound to them."""

    code = "not_your_claim"


class ClaimBusyError(AgentError):
    """Another request is working on this claim, or another claim is using the device."""

    code = "claim_busy"
    retryable = True


class NotEnrolledError(AgentError):
    """The device has no identity yet: no claim can be opened and nothing can be sent."""

    code = "not_enrolled"


class DeviceDeniedError(AgentError):
    """Head office lets this device begin no new claims; the detail is its reason."""

    code = "device_denied"


class AlreadyEnrolledError(AgentError):
    """The device has an identity; a second one would orphan what is queued."""

    code = "already_enrolled"


class PacketsWaitingError(AgentError):
    """Packets wait that only the identity before can deliver; ``detail`` says how many."""

    code = "packets_waiting"


class IdentityChangedError(AgentError):
    """The machine was enrolled anew while something was being sealed for the enrolment before; nothing was queued."""

    code = "identity_changed"
    retryable = True


class FormerEnrolmentError(AgentError):
    """What was made under an enrolment before can be added to under that one only."""

    code = "former_enrolment"


class StoppingError(AgentError):
    """The agent is going down in good order."""

    code = "stopping"
    retryable = True


class NotSetUpError(AgentError):
    """A setting that this act needs is not set; ``detail`` names it."""

    code = "not_set_up"


class PortTakenError(AgentError):
    """Another program listens on the port of the local API."""

    code = "port_taken"
    retryable = True


class PinLockedError(AgentError):
    """Too many wrong PINs for this person; ``detail`` says how long to wait."""

    code = "pin_locked"
    retryable = True


class FolderError(AgentError):
    """A folder the agent needs cannot be made or written; ``detail`` names it."""

    code = "folder"


class SocketPathError(AgentError):
    """The local API's socket cannot be made where it is set; ``detail`` says why."""

    code = "socket_path"


class StorageLowError(AgentError):
    """Too little room is left on the disk, or the queue is too long, to begin something new; ``detail`` has numbers."""

    code = "storage_low"
    retryable = True
