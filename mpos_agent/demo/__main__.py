"""``make demo``: three claims on virtual devices and real programs, told as they happen."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from drivers.errors import DeviceError
from matcher import MatcherError, Network
from mpos_agent.demo.counter import VirtualCounter
from mpos_agent.demo.fingers import Fingers, FolderFingers, SyntheticFingers
from mpos_agent.demo.private_pcscd import MARK
from mpos_agent.demo.stage import Stage, StageError
from mpos_agent.demo.story import Story, ensure_own

DEFAULT_FOLDER = Path(".demo")


def demo(
    *,
    fingers: Annotated[Path | None, typer.Option(help="Folder of pictures <finger>_<impression>.png.")] = None,
    dpi: Annotated[float, typer.Option(help="Resolution of those pictures.")] = 500.0,
    folder: Annotated[Path, typer.Option(help="Everything the demo writes goes here; emptied first.")] = DEFAULT_FOLDER,
) -> int:
    """Follow three claims from a (virtual) chip to head office and back."""
    console = Console(highlight=False)
    real = os.environ.get(MARK) == "1"
    began = time.monotonic()
    try:
        source: Fingers = SyntheticFingers() if fingers is None else FolderFingers(fingers, dpi)
        ensure_own(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder = folder.resolve()
        with (
            VirtualCounter(folder / "devices", source, Network.load(), real_pcscd=real) as counter,
            Stage(folder, counter.settings()) as stage,
        ):
            Story(stage, counter, console, fingers=source.what, real=real).tell()
    except (StageError, DeviceError, MatcherError, subprocess.TimeoutExpired) as error:
        console.print(f"[bold red]The demo stopped:[/bold red] {error}", soft_wrap=True)
        console.print(f"The programs' logs lie in {folder}.")
        return 1
    console.print(f"\n[bold green]Done[/bold green] in {time.monotonic() - began:.0f} s; nothing is left running.")
    return 0


def main() -> None:
    """Entry of ``python -m mpos_agent.demo``."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    sys.exit(app(standalone_mode=False) or 0)


if __name__ == "__main__":
    main()
