"""The packages are ours alone, the wheel holds what it should, and the house rules hold."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

ROOTS = ("config", "drivers", "head_office", "matcher", "mpos_agent", "sync")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def package_folders() -> set[str]:
    return {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for root in ROOTS
        for path in (ROOT / root).rglob("__init__.py")
    }


def test_no_other_distribution_ships_a_package_of_our_name() -> None:
    """A second `config` or `sync` in the environment would overwrite ours without a word."""
    owners = importlib.metadata.packages_distributions()
    assert {root: set(owners.get(root, [])) for root in ROOTS} == {root: {"mpos-agent"} for root in ROOTS}


def test_the_package_list_names_every_folder() -> None:
    """The list is explicit; a folder forgotten in it would be missing on the device only."""
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == package_folders()


def test_every_python_folder_has_an_init() -> None:
    """Without one, `import drivers` can find the folder of its tests."""
    folders = {path.parent for root in (*ROOTS, "tests", "bench") for path in (ROOT / root).rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_inits_are_empty_but_for_two() -> None:
    """What a package offers is found in its files; only the matcher's face and the version are exceptions."""
    filled = {
        str(path.relative_to(ROOT))
        for root in ROOTS
        for path in (ROOT / root).rglob("__init__.py")
        if path.read_text().strip()
    }
    assert filled <= {"matcher/__init__.py", "mpos_agent/__init__.py"}


def test_no_python_in_the_systemd_folder() -> None:
    """From the repository root `import systemd` would find it instead of the systemd bindings."""
    assert list((ROOT / "systemd").rglob("*.py")) == []


def test_the_lock_names_no_index_and_hashes_everything() -> None:
    """The lock serves any mirror: names, versions and hashes, no address."""
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        if lock.name.endswith("-packages.txt"):
            continue
        text = lock.read_text()
        assert "://" not in text
        assert "--index" not in text
        entries = re.split(r"\n(?=[a-z0-9])", text.strip())
        assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_holds_every_declared_dependency() -> None:
    """Whatever pyproject asks for is pinned."""
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    pinned = {re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)==", lock, re.M)}
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
        *PYPROJECT["dependency-groups"]["dev"],
    ]
    names = {re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9_.-]+", item).group()).lower() for item in wanted}  # type: ignore[union-attr]
    assert names - pinned == set()


def test_every_dependency_has_its_reason() -> None:
    """docs/dependencies.md names each package that pyproject asks for."""
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    project = PYPROJECT["project"]
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
        *PYPROJECT["dependency-groups"]["dev"],
    ]
    names = [re.match(r"[A-Za-z0-9_.-]+", item).group() for item in wanted]  # type: ignore[union-attr]
    assert [name for name in names if name not in reasons] == []


@pytest.mark.parametrize("root", ROOTS)
def test_no_module_is_named_after_the_library_it_wraps(root: str) -> None:
    """`queue.py` or `usb.py` inside a package is a riddle in every traceback."""
    taken = set(sys.stdlib_module_names) | {"usb", "serial", "smartcard", "requests", "sqlite3", "cbor2", "numpy"}
    allowed = {"__init__", "__main__"}
    modules = {path.stem for path in (ROOT / root).rglob("*.py")} - allowed
    assert modules & taken == set()


def tracked_text_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: the tree cannot be listed")
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix not in {".png", ".bin", ".cbor"}]


def test_nothing_in_the_tree_is_shaped_like_a_real_nik() -> None:
    """Province codes in use with a possible date: synthetic persons use province 99."""
    shape = re.compile(
        r"(?<!\d)(?:1[1-9]|21|3[1-6]|5[1-3]|6[1-5]|7[1-6]|8[12]|9[1-6])\d{4}"
        r"(?:[04][1-9]|[1256]\d|[37][01])(?:0[1-9]|1[0-2])\d{6}(?!\d)"
    )
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if shape.search(line) and "sha256:" not in line
    ]
    assert found == []


def test_unfinished_work_is_not_in_the_tree() -> None:
    """A stub that says so is still a stub."""
    words = ("NotImplemented" + "Error", "TO" + "DO", "FIX" + "ME")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked_text_files()
        if path.suffix == ".py"
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(re.search(rf"\b{word}\b", line) for word in words)
    ]
    assert found == []


def test_doors_are_kept_by_the_linter() -> None:
    """Each banned library has exactly the doors the configuration excuses."""
    ruff = PYPROJECT["tool"]["ruff"]["lint"]
    banned = set(ruff["flake8-tidy-imports"]["banned-api"])
    excused = {path for path, rules in ruff["per-file-ignores"].items() if "TID251" in rules and "*" not in path}
    importers = set()
    for root in ROOTS:
        for path in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module]
                if any(name.split(".")[0] in banned for name in names):
                    importers.add(str(path.relative_to(ROOT)))
    assert importers <= excused


@pytest.mark.slow
def test_the_wheel_runs_without_the_sources_and_without_the_development_tools(tmp_path: Path) -> None:
    """What a device installs: the wheel alone, imported from elsewhere, starts its three programs."""
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]
    assert "config/defaults.toml" in names
    assert "drivers/scanner/vendor/mpos_scanner.h" in names
    script = "import sys; import mpos_agent.cli.main, head_office.cli, matcher.cli.main; print(mpos_agent.__file__)"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'installed')!r}); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert str(tmp_path) in ran.stdout
