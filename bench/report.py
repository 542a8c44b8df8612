"""How the benches print: a heading that says when, where and on what, and tables that paste into docs."""

import datetime
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.datasets import ROOT


def heading(title: str) -> str:
    """Title, date, machine and commit."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    commit = git.stdout.strip() or "no commit"
    return f"{title}: {now}, {_processor()}, Python {platform.python_version()}, commit {commit}"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it reads in a terminal too."""
    widths = [max(len(row[k]) for row in (columns, *rows)) for k in range(len(columns))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (columns, *rows)
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()
