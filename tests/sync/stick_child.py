"""A stick of its own, in a mount namespace: filled up, locked, pulled out. Prints what each came to."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sync.errors import StickError
from sync.stick import FileName, Kind
from sync.stick_folder import StickFolder

SIZE_KB = 512


def name(number: int) -> FileName:
    return FileName("D-UJI", number, bytes([number]) * 16, Kind.BATCH)


def tell(what: str, act: Callable[[], object]) -> None:
    """``what: ok`` or the code of the error."""
    try:
        act()
    except StickError as error:
        print(f"{what}: {error.code}")
    else:
        print(f"{what}: ok")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main(place: Path) -> None:
    """Everything that happens to sticks, one after the other."""
    mount("-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(place))
    stick = StickFolder(place)
    tell("first", lambda: stick.write(name(1), os.urandom(300_000)))
    tell("full", lambda: stick.write(name(2), os.urandom(300_000)))
    print(f"on it: {','.join(sorted(file.name for file in place.iterdir())) == str(name(1))}")
    stick.remove([str(name(1))])
    tell("room again", lambda: stick.write(name(2), os.urandom(300_000)))
    mount("-o", "remount,ro", str(place))
    tell("locked", lambda: stick.write(name(3), b"x"))
    tell("locked read", lambda: stick.read(str(name(2)), Kind.BATCH))
    mount("-o", "remount,rw", str(place))
    subprocess.run(["umount", "-l", str(place)], check=True)
    tell("pulled out", lambda: stick.write(name(4), b"x"))
    print(f"left behind: {len(list(place.iterdir()))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
