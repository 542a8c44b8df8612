"""The daemon: start, readiness and watchdog, signals, orderly stop.

    settings → log → parts (database lock first) → listeners → READY … signal → STOPPING → answers out →
    sync thread out → devices closed → database closed

A reader, a scanner, pcscd or head office that is away never ends it: they are reported, and looked for again.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from config.schema import Settings
from mpos_agent import __version__, log, wiring
from mpos_agent.agent import Agent
from mpos_agent.api.callers import Callers, Scope, write_private
from mpos_agent.api.listeners import Server, loopback_listener, unix_listener
from mpos_agent.api.server import application
from mpos_agent.outcomes import Exit, outcome_of
from mpos_agent.readiness import Readiness
from sync.errors import StorageInUseError, SyncError

_log = logging.getLogger(__name__)

COMMAND_LINE_TOKEN = "cli.token"  # noqa: S105 - a file name
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Without a watchdog the status line of systemctl still wants to be true.
_STATUS_EVERY_S = 10.0


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; gives the exit code.

    Raises
    ------
    StorageInUseError
        Another agent runs on this state folder, or answers in this runtime folder.
    SyncError, ConfigError, AgentError
        What else keeps it from starting, by cause.
    """
    log.set_up(settings.log.level.value, journal_prefix=settings.log.journal_prefix)
    wiring.make_folder(settings.agent.state_dir, 0o700)
    wiring.make_folder(settings.agent.run_dir, 0o750)
    with _alone_in(settings.agent.run_dir):
        agent = wiring.build(settings)
        try:
            exit_code = asyncio.run(_serve(agent, settings, Readiness(os.environ)))
        finally:
            agent.close()
    log.happening(_log, logging.INFO, "stopped", exit=exit_code)
    return exit_code


@contextlib.contextmanager
def _alone_in(run_dir: Path) -> Iterator[None]:
    """Hold the runtime folder: a second agent would take socket and credential away from the first one."""
    # The folder itself is what is locked: no file is left behind in it.
    lock = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageInUseError(run_dir, "open", "another agent runs in this folder") from error
        yield
    finally:
        os.close(lock)


async def _serve(agent: Agent, settings: Settings, readiness: Readiness) -> Exit:
    callers = Callers(settings.callers_file)
    app = application(agent, callers, port=settings.api.port, limit_bytes=settings.api.request_limit_bytes)
    sockets = [unix_listener(settings.api_socket, settings.api.socket_mode)]
    if settings.api.port:
        sockets.append(loopback_listener(settings.api.port))
    token_file = settings.agent.run_dir / COMMAND_LINE_TOKEN
    write_private(token_file, callers.passing("command-line", Scope.MACHINE) + "\n")

    async def listening() -> None:
        await asyncio.to_thread(agent.start)
        readiness.ready(agent.one_line())
        log.happening(
            _log, logging.INFO, "ready", version=__version__, socket=settings.api_socket, port=settings.api.port
        )

    server = Server(app, listening)

    def begin_to_stop() -> None:
        if not server.should_exit:
            readiness.stopping()
            log.happening(_log, logging.INFO, "stopping")
            # Waits for cards and fingers end, so that their requests can be answered; nothing new begins.
            agent.begin_to_stop()
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, begin_to_stop)
    life = asyncio.create_task(signs_of_life(agent, readiness, begin_to_stop))
    try:
        await server.serve(sockets)
    finally:
        life.cancel()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        token_file.unlink(missing_ok=True)
        settings.api_socket.unlink(missing_ok=True)
        await asyncio.to_thread(agent.stop)
    await asyncio.wait({life})
    if life.cancelled():
        return Exit.DONE
    # It ended by itself: the disk failed, or it raises here what was wrong with it.
    life.result()
    return Exit.STORAGE


async def signs_of_life(agent: Agent, readiness: Readiness, stop: Callable[[], None]) -> None:
    """From the event loop itself, so that a loop that hangs goes silent; and only while the workers live.

    When the disk failed, nothing was written since; the file is opened and checked again here. Ends, and has the daemon
    stop, when that does not help, or helped too often within an hour: systemd tries once more from the beginning. So it
    does when the looking itself fails: a daemon that nobody looks after any more must not go on. With or without a
    watchdog.
    """
    every_s = _STATUS_EVERY_S if readiness.watchdog_s is None else readiness.watchdog_s / 3
    try:
        while True:
            await asyncio.sleep(every_s)
            trouble = await asyncio.to_thread(agent.storage_trouble)
            if trouble is not None and not await asyncio.to_thread(_opened_again, agent, trouble):
                stop()
                return
            if agent.alive():
                readiness.alive(await asyncio.to_thread(_line_of, agent))
    except Exception as error:
        log.happening(_log, logging.CRITICAL, "signs_of_life_lost", code=outcome_of(error).code)
        stop()
        raise


def _opened_again(agent: Agent, trouble: SyncError) -> bool:
    log.happening(_log, logging.CRITICAL, "storage_failed", code=outcome_of(trouble).code)
    try:
        agent.open_storage_again()
    except SyncError as error:
        log.happening(_log, logging.CRITICAL, "storage_lost", code=outcome_of(error).code)
        return False
    return True


def _line_of(agent: Agent) -> str:
    """The agent's line; trouble that passes by itself (a full disk) is a line too, and no reason to stop."""
    try:
        return agent.one_line()
    except SyncError as error:
        if not error.retryable:
            raise
        return outcome_of(error).code
