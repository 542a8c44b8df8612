"""Where the network file lies, and which version of it the code expects; shared by who writes and who runs it."""

import sys
from pathlib import Path
from typing import Final

NETWORK_VERSION: Final = "leader-1"
"""Raise it when the graph changes: an older file is then refused with the word to run set-up again."""


def default_path() -> Path:
    """``share/mpos-agent/leader.onnx`` under the interpreter's prefix, so that each environment has its own."""
    return Path(sys.prefix) / "share" / "mpos-agent" / "leader.onnx"
