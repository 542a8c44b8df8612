"""Every write and flush of one run, in order, as strace saw them, and the files as a power cut leaves them.

What was flushed is there after a cut. What was written since the last flush of its file may be there, wholly, in
part, or not at all, and in any order: the disk and the kernel promise nothing about it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

CALLS = "write,pwrite64,ftruncate,fdatasync,fsync,unlink,pwritev,writev"
ARGUMENTS = ("-f", "-y", "-xx", "-s", "1048576", "-e", f"trace={CALLS}")
SECTOR = 512
"""What a disk writes whole."""

_LINE = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (-?\d+)")
_FILE = re.compile(r"^\d+<((?:[^>\\]|\\x[0-9a-f]{2})*)>")


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes put into a file."""

    file: str
    at: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file cut or stretched to a length."""

    file: str
    length: int


@dataclass(frozen=True, slots=True)
class Flush:
    """Everything written to the file so far is on the disk."""

    file: str


@dataclass(frozen=True, slots=True)
class Remove:
    """The name is gone; taken as durable at once, because what SQLite removes it no longer needs."""

    file: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the user was told."""

    line: str


Step = Write | Truncate | Flush | Remove | Mark
Files = dict[str, bytearray]


def read_trace(trace: Path, folder: Path, marks: Path) -> list[Step]:
    """The steps of a trace, with files named relative to ``folder``; writes elsewhere are left out."""
    steps: list[Step] = []
    with trace.open(encoding="ascii") as lines:
        for line in lines:
            if "<unfinished" in line or "resumed>" in line:
                raise ValueError("the traced run had threads: calls are not in order")
            if found := _LINE.match(line):
                steps += _steps(found[1], found[2], int(found[3]), folder, marks)
    return steps


def _steps(call: str, arguments: str, result: int, folder: Path, marks: Path) -> Iterator[Step]:
    if result < 0:
        return
    if call == "unlink":
        path = Path(_text(arguments.strip().strip('"')))
        if path.is_relative_to(folder):
            yield Remove(str(path.relative_to(folder)))
        return
    file = _FILE.match(arguments)
    if file is None:
        return
    path = Path(_text(file[1]))
    rest = arguments[file.end() :].removeprefix(", ")
    if path == marks and call == "writev":
        yield from (Mark(line) for line in _bytes(rest[rest.index('"') :]).decode("ascii").splitlines())
    elif path.is_relative_to(folder):
        name = str(path.relative_to(folder))
        match call:
            case "pwrite64":
                yield Write(name, int(rest.rsplit(",", 1)[1]), _bytes(rest)[:result])
            case "ftruncate":
                yield Truncate(name, int(rest))
            case "fdatasync" | "fsync":
                yield Flush(name)
            case _ if name.endswith((".db", ".db-wal")):
                raise ValueError(f"{call} into {name}: the recorder does not know where it went")


def _bytes(arguments: str) -> bytes:
    text = arguments[1 : arguments.index('"', 1)]
    return bytes.fromhex(text.replace("\\x", ""))


def _text(shown: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), shown)


def apply(files: Files, step: Step) -> None:
    """Do one step to the files."""
    match step:
        case Write(file, at, content):
            held = files.setdefault(file, bytearray())
            if len(held) < at:
                held.extend(bytes(at - len(held)))
            held[at : at + len(content)] = content
        case Truncate(file, length):
            held = files.setdefault(file, bytearray())
            del held[length:]
            held.extend(bytes(length - len(held)))
        case Remove(file):
            files.pop(file, None)


class Disk:
    """The files after some steps: what is certain, and what was written since."""

    def __init__(self, at_first: Files) -> None:
        self.flushed: Files = {name: bytearray(content) for name, content in at_first.items()}
        self.pending: list[Write | Truncate] = []

    def take(self, step: Step) -> None:
        """Go one step on."""
        match step:
            case Write() | Truncate():
                self.pending.append(step)
            case Flush(file):
                for each in self.pending:
                    if each.file == file:
                        apply(self.flushed, each)
                self.pending = [each for each in self.pending if each.file != file]
            case Remove(file):
                self.pending = [each for each in self.pending if each.file != file]
                apply(self.flushed, step)

    def as_written(self) -> Files:
        """What a killed process leaves: the kernel has everything."""
        return self._with(self.pending)

    def after_cut(self, how: str, random: Random) -> Files:
        """What a power cut leaves; ``how`` is one of CUTS."""
        match how:
            case "only what was flushed":
                return self._with([])
            case "half of the rest":
                return self._with([each for each in self.pending if random.random() < 0.5])
            case "the rest in another order":
                return self._with(random.sample(self.pending, len(self.pending)))
            case "the last write torn":
                return self._with([*self.pending[:-1], *_torn(self.pending[-1:], random)])
            case "the newest without the older":
                return self._with(self.pending[len(self.pending) // 2 :])
        raise ValueError(how)

    def _with(self, some: Sequence[Write | Truncate]) -> Files:
        files = {name: bytearray(content) for name, content in self.flushed.items()}
        for each in some:
            apply(files, each)
        return files


CUTS = (
    "only what was flushed",
    "half of the rest",
    "the rest in another order",
    "the last write torn",
    "the newest without the older",
)


def _torn(last: Sequence[Write | Truncate], random: Random) -> list[Write | Truncate]:
    torn: list[Write | Truncate] = []
    for step in last:
        if isinstance(step, Write) and len(step.content) > SECTOR:
            cut = (
                random.randrange(1, len(step.content) // SECTOR) * SECTOR if len(step.content) > SECTOR * 2 else SECTOR
            )
            # Either end may have made it.
            keep = (step.content[:cut], 0) if random.random() < 0.5 else (step.content[cut:], cut)
            torn.append(Write(step.file, step.at + keep[1], keep[0]))
    return torn


def read_files(folder: Path, names: Sequence[str]) -> Files:
    """Those of the files that are there."""
    return {name: bytearray((folder / name).read_bytes()) for name in names if (folder / name).exists()}


def write_files(folder: Path, files: Files, names: Sequence[str]) -> None:
    """Make the folder hold exactly these of those names."""
    for name in names:
        if name in files:
            (folder / name).write_bytes(files[name])
        else:
            (folder / name).unlink(missing_ok=True)
