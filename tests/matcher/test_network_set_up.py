"""Set-up writes the network file from the pinned weights only, and says in one line what is wrong otherwise."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from matcher.errors import NetworkInvalidError, NetworkMissingError
from matcher.extract.network import Network

if importlib.util.find_spec("h5py") is None or importlib.util.find_spec("onnx") is None:
    pytest.skip("the extra [model] is not installed here: the network is built at set-up", allow_module_level=True)

import onnx

from matcher.extract import build_network, network_weights
from matcher.extract.network_graph import phases


def test_set_up_writes_a_network_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file is whole, says which weights it holds, and nothing is left beside it."""
    target = tmp_path / "deep" / "leader.onnx"
    assert build_network.main([str(target)]) == 0
    assert [path.name for path in target.parent.iterdir()] == ["leader.onnx"]
    metadata = {entry.key: entry.value for entry in onnx.load(target).metadata_props}
    assert metadata["weights_sha256"] == network_weights.SHA256
    assert len(Network.load(target).look(np.zeros((64, 64), np.float32), 0.6).rows) == 0
    assert str(target) in capsys.readouterr().out


def test_same_weights_give_the_same_file(tmp_path: Path) -> None:
    """Two set-ups write the same bytes, so that a device's network can be told by its checksum."""
    digests = set()
    for name in ("one", "two"):
        build_network.build_network(tmp_path / name)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_other_weights_are_refused(tmp_path: Path) -> None:
    """One changed byte in the weight file is told, with what was found."""
    changed = bytearray(network_weights.find_weights().read_bytes())
    changed[-1] ^= 1
    path = tmp_path / "LEADER.weights.h5"
    path.write_bytes(changed)
    with pytest.raises(NetworkInvalidError, match="SHA-256"):
        network_weights.check_weights(path)


def test_missing_distribution_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the extra that brings the weights, set-up names it and the command that installs it."""
    monkeypatch.setattr(network_weights, "DISTRIBUTION", "no-such-distribution")
    assert build_network.main([str(tmp_path / "leader.onnx")]) == 2
    assert "make venv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_missing_network_file_names_the_command(tmp_path: Path) -> None:
    """Who starts the agent before set-up is told to run `make venv`."""
    with pytest.raises(NetworkMissingError, match="make venv"):
        Network.load(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"not a network", bytes(1000)])
def test_damaged_network_file_is_refused(content: bytes, tmp_path: Path) -> None:
    """A half-copied file is told as such."""
    path = tmp_path / "leader.onnx"
    path.write_bytes(content)
    with pytest.raises(NetworkInvalidError):
        Network.load(path)


def test_network_of_another_version_is_refused(tmp_path: Path) -> None:
    """After an update the old file is not run with new code."""
    target = tmp_path / "leader.onnx"
    build_network.build_network(target)
    model = onnx.load(target)
    next(entry for entry in model.metadata_props if entry.key == "network_version").value = "leader-0"
    onnx.save(model, target)
    with pytest.raises(NetworkInvalidError, match="leader-0"):
        Network.load(target)


def test_phase_kernels_equal_the_convolution_after_doubling() -> None:
    """One 3x3 convolution per phase gives what doubling and then 5x5 gives, borders included."""
    rng = np.random.default_rng(3)
    kernel, small = rng.normal(size=(1, 1, 5, 5)), rng.normal(size=(6, 7))
    double = np.pad(small.repeat(2, 0).repeat(2, 1), 2)
    expected = np.array([[(double[r : r + 5, c : c + 5] * kernel[0, 0]).sum() for c in range(14)] for r in range(12)])
    padded, result = np.pad(small, 1), np.empty((12, 14))
    for phase, (p, q) in enumerate(np.ndindex(2, 2)):
        for r in range(6):
            for c in range(7):
                result[2 * r + p, 2 * c + q] = (padded[r : r + 3, c : c + 3] * phases(kernel)[phase, 0]).sum()
    assert np.allclose(result, expected)
