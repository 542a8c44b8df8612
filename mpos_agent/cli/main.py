"""The commands of ``mpos-agent``, and the one place where an error becomes an exit code."""

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO, cast

import typer

from config.schema import Language
from mpos_agent import __version__, log
from mpos_agent.cli import caller, claim, devices, enrol, identity, outbox, people, run, status, stick
from mpos_agent.cli.shell import tell_error
from mpos_agent.outcomes import Exit

# Typer brings its own copy of click; what it raises for wrong usage is named here through what it exports.
_UsageError = cast("type[typer.BadParameter]", typer.BadParameter.__mro__[1])

# What Typer makes of Ctrl-C where the command itself did not answer it.
_INTERRUPTED = 130

BUGS_FILE = Path("mpos-agent") / "bugs.log"
"""Below the user's folder for state."""

app = typer.Typer(
    name="mpos-agent",
    help="Reads an e-KTP, verifies the holder's finger on this machine, carries the claim to head office.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(run.run)
app.command("status")(status.status)
app.command("enrol")(enrol.enrol)
app.add_typer(devices.app, name="devices")
app.add_typer(outbox.app, name="outbox")
app.add_typer(identity.app, name="identity")
app.add_typer(claim.app, name="claim")
app.add_typer(people.app, name="people")
app.add_typer(caller.app, name="caller")
app.add_typer(stick.app, name="stick")


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    """Reads an e-KTP, verifies the holder's finger on this machine, carries the claim to head office."""
    if version:
        print(f"mpos-agent {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end with its exit code (``docs/technician.md`` lists them)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_run(given))


def _run(given: list[str]) -> int:
    try:
        result = app(args=given, standalone_mode=False)
    except _UsageError as error:
        error.show()
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        print(file=sys.stderr)
        return Exit.NOT_QUEUED
    except BrokenPipeError:
        # Whoever read our output (head, less) has left; there is nobody to tell.
        sys.stderr.close()
        return Exit.DONE
    # One of the two places: from here on there is only the exit code.
    except Exception as error:  # noqa: BLE001 - told to the operator, noted for the technician
        told = tell_error(error, as_json="--json" in given, lang=_asked_language(given))
        if told is Exit.BUG:
            _note_the_bug()
        return told
    if result == _INTERRUPTED:
        print(file=sys.stderr)
        return Exit.NOT_QUEUED
    return int(result) if isinstance(result, int) else Exit.DONE


def _note_the_bug() -> None:
    """For the technician: where it was, masked like every line of the log. Not on an operator's screen.

    Without a screen (a service, a pipe) standard error is the log.
    """
    file = Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / BUGS_FILE
    with contextlib.ExitStack() as opened:
        stream: TextIO = sys.stderr
        if sys.stderr.isatty():
            try:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                stream = opened.enter_context(file.open("a", encoding="utf-8"))
                print(f"→ {file}", file=sys.stderr)
            except OSError:
                # Better seen on the screen than lost.
                stream = sys.stderr
        log.set_up("ERROR", journal_prefix=False, stream=stream)
        logging.getLogger("mpos_agent.cli").exception("bug")


def _asked_language(given: list[str]) -> Language:
    """The language on the command line; the settings may be what is broken."""
    for position, word in enumerate(given):
        value = word.partition("=")[2] if word.startswith("--lang=") else ""
        if word == "--lang" and position + 1 < len(given):
            value = given[position + 1]
        if value == Language.EN:
            return Language.EN
    return Language.ID
