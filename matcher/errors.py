"""What can be wrong with what the matcher is given, one exception per cause.

A finger that does not match, or a poor picture, is a value (``Score``, ``Quality``), not an error.
"""

from typing import ClassVar


class MatcherError(Exception):
    """The matcher cannot work with what it was given. ``code`` is stable; texts and tests key on it."""

    code: ClassVar[str] = "matcher"


class UnusableImageError(MatcherError):
    """The pixels are no picture a finger could be found in (shape, type, size, resolution)."""

    code = "unusable_image"

    def __init__(self, cause: str) -> None:
        super().__init__(f"unusable image: {cause}")
        self.cause = cause


class InvalidTemplateError(MatcherError):
    """Arrays that cannot be minutiae: lengths differ, values not finite, or out of their range."""

    code = "invalid_template"

    def __init__(self, cause: str) -> None:
        super().__init__(f"not a minutiae template: {cause}")
        self.cause = cause


class TemplateFormatError(MatcherError):
    """Bytes that are not a minutiae record we can read.

    ``offset`` is where reading stopped. No content of the record is in the message: it is biometric.
    """

    code = "template_format"

    def __init__(self, cause: str, offset: int = 0) -> None:
        super().__init__(f"not a readable minutiae record: {cause} (byte {offset})")
        self.cause, self.offset = cause, offset


class EmptyRecordError(TemplateFormatError):
    """No bytes at all: this is how a card may say that the finger was not enrolled."""

    code = "template_empty"


class CardFormatError(TemplateFormatError):
    """A compact record for comparison on a card (ISO 19794-2 card formats): it has no header, so its unit
    (0.1 mm) and order cannot be known from the bytes. Convert it to a record where it was made."""

    code = "template_card_format"


class NetworkMissingError(MatcherError):
    """The network file is not installed."""

    code = "network_missing"

    def __init__(self, path: str) -> None:
        super().__init__(f"no network file at {path}; run `make venv` to write it")
        self.path = path


class NetworkInvalidError(MatcherError):
    """The network file, or the weights it is made from, are not the ones this version expects."""

    code = "network_invalid"

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"{path}: {cause}; run `make venv` to write it anew")
        self.path, self.cause = path, cause
