"""Set-up step: writes the network file the matcher runs, from the published weights.

``python -m matcher.extract.build_network [FILE]``; ``make venv`` calls it. Needs the extra ``model``.
"""

import os
import sys
import tempfile
from pathlib import Path

from matcher.errors import MatcherError
from matcher.extract.network_file import NETWORK_VERSION, default_path
from matcher.extract.network_graph import build_graph
from matcher.extract.network_weights import SHA256, LayerWeights, find_weights


def build_network(target: Path) -> None:
    """Write the network file; whoever opens ``target`` meanwhile sees the old file or the new one, whole.

    Raises
    ------
    NetworkMissingError, NetworkInvalidError
        The weights are not installed, or not the pinned ones.
    """
    model = build_graph(LayerWeights(find_weights()))
    for key, value in (("network_version", NETWORK_VERSION), ("weights_sha256", SHA256)):
        model.metadata_props.add(key=key, value=value)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(model.SerializeToString(deterministic=True))
            file.flush()
            os.fsync(file.fileno())
        written.chmod(0o644)
        written.replace(target)
    except OSError:
        written.unlink(missing_ok=True)
        raise


def main(arguments: list[str]) -> int:
    """Exit code 0, or 2 with one line that names cause and cure."""
    target = Path(arguments[0]) if arguments else default_path()
    try:
        build_network(target)
    except (MatcherError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"network written to {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
