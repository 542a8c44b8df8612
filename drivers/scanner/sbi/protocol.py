"""Words and numbers of the Secure Biometric Interface, specification 0.9.5, as far as one finger needs them."""

import enum
from collections.abc import Mapping

SPEC_VERSION = "0.9.5"
SUPPORTED_VERSIONS = frozenset({SPEC_VERSION})
"""Element 0 of ``specVersion``. 0.9.2 and the dialect "1.0" differ in what they sign and ask."""
HOST = "127.0.0.1"
"""The literal address: a name could be made to point elsewhere."""
FINGER = "Finger"
REGISTRATION = "Registration"
"""The purpose whose pictures come unencrypted; those of Auth are encrypted to a head office."""
SINGLE_FINGER = frozenset({"Single", "Touchless"})
"""Kinds of finger scanner that picture one finger at a time."""
SINGLE_SUB_ID = "0"


class Verb(enum.StrEnum):
    """HTTP verbs of the interface."""

    DISCOVER = "MOSIPDISC"
    INFO = "MOSIPDINFO"
    CAPTURE = "CAPTURE"
    REGISTER = "RCAPTURE"
    STREAM = "STREAM"


PATHS: Mapping[Verb, str] = {
    Verb.DISCOVER: "/device",
    Verb.INFO: "/info",
    Verb.CAPTURE: "/capture",
    Verb.REGISTER: "/capture",
    Verb.STREAM: "/stream",
}


class Status(enum.StrEnum):
    """``deviceStatus`` of a discovery answer."""

    READY = "Ready"
    BUSY = "Busy"
    NOT_READY = "Not Ready"
    NOT_REGISTERED = "Not Registered"


class Level(enum.StrEnum):
    """``certification``: who signs the digital id."""

    L0 = "L0"
    """The device key, which the service holds on the host."""
    L1 = "L1"
    """A key in a secure chip of the scanner."""


FINGERS: Mapping[int, str] = {
    1: "Right Thumb",
    2: "Right IndexFinger",
    3: "Right MiddleFinger",
    4: "Right RingFinger",
    5: "Right LittleFinger",
    6: "Left Thumb",
    7: "Left IndexFinger",
    8: "Left MiddleFinger",
    9: "Left RingFinger",
    10: "Left LittleFinger",
}
"""Finger position of ISO/IEC 19794 to ``bioSubType``."""


class Reaction(enum.Enum):
    """What the client does about an error code."""

    NO_FINGER = "no_finger"
    """Nobody placed a finger in time."""
    PLACE_AGAIN = "place_again"
    RETRY = "retry"
    """Ask again at once, with a new transaction id."""
    RETRY_ONCE = "retry_once"
    WAIT = "wait"
    """Ask again a little later."""
    REDISCOVER = "rediscover"
    """The scanner is not there any more."""
    TELL = "tell"
    """The technician's, or a bug of one of the two sides: shown as what the device says."""


REACTIONS: Mapping[str, Reaction] = {
    **dict.fromkeys(("101", "701", "801"), Reaction.NO_FINGER),
    **dict.fromkeys(("105",), Reaction.PLACE_AGAIN),
    **dict.fromkeys(("102", "700"), Reaction.RETRY),
    **dict.fromkeys(("710", "800", "810"), Reaction.RETRY_ONCE),
    **dict.fromkeys(("110", "111", "607", "608", "609", "610", "703", "803"), Reaction.WAIT),
    **dict.fromkeys(("106", "202", "503", "605", "704", "705", "804", "805"), Reaction.REDISCOVER),
}
"""Every other code, known (100 not registered, 103 tampered with, 107 key expired …) or not, is told."""
NOT_REGISTERED = "100"
SUCCESS = "0"


def reaction(number: str) -> Reaction:
    """What to do about an error code of the service."""
    return REACTIONS.get(number, Reaction.TELL)
