"""The library that runs the network tells nobody: it would write a device id and send what runs where."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOAD = "from matcher import Network; Network.load()"


@pytest.mark.parametrize("asked", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["unset", "asked to speak"])
def test_loading_the_network_writes_nothing_in_anybodys_home(tmp_path: Path, asked: dict[str, str]) -> None:
    """No device id, no queue of reports: not at a counter, where no variable of a build server keeps it quiet."""
    home, cache = tmp_path / "home", tmp_path / "cache"
    for folder in (home, cache):
        folder.mkdir()
    # Python's own search path is kept; everything else a test run sets would hide what happens at a counter.
    search = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**search, "HOME": str(home), "XDG_CACHE_HOME": str(cache), **asked},
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")) == ["cache", "home"]
