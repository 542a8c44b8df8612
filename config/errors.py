"""What is wrong in a file a person wrote: which file, which key, why, and what to do about it."""

from pathlib import Path
from typing import ClassVar


class ConfigError(Exception):
    """A settings file or table cannot be used as it stands.

    ``key`` is dotted (``upload.poll_s``) and empty when the whole file is meant; ``cure`` says what is
    allowed there, or names the nearest key that exists.
    """

    code: ClassVar[str] = "config"
    retryable: ClassVar[bool] = False

    def __init__(self, file: Path | str, key: str, cause: str, cure: str = "") -> None:
        super().__init__(f"{file}: " + (f"{key}: " if key else "") + cause + (f"; {cure}" if cure else ""))
        self.file, self.key, self.cause, self.cure = str(file), key, cause, cure
