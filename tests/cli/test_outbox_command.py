"""A technician's commands about the queue: room on the disk, a new chain after a frozen one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpos_agent.outcomes import Exit
from tests.cli.daemon import Daemon, ask, objects, write_settings


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon below its last mark."""
    marks = dict.fromkeys(("warn_free_bytes", "stop_documents_free_bytes", "stop_claims_free_bytes"), 10**17)
    file = write_settings(tmp_path_factory.mktemp("q"), storage=marks)
    with Daemon(file):
        yield file


def test_the_status_says_that_no_new_claim_is_taken_and_what_to_do(config: Path) -> None:
    """In both languages, with the numbers beside it; and as one word for programs."""
    shown = ask(config, "status").stdout
    assert "klaim baru tidak dapat dimulai" in shown
    assert "GB free, queue" in shown
    (told,) = objects(ask(config, "status", "--json").stdout)
    assert told["storage"]["mark"] == "stop_claims"


def test_a_new_chain_is_begun_only_after_a_yes(config: Path) -> None:
    """Nothing happens by a slip of the hand; the lane has to be named."""
    refused = ask(config, "outbox", "new-epoch", "core", stdin="n\n")
    assert refused.returncode == Exit.NOT_QUEUED
    assert "digandakan" in refused.stdout
    done = ask(config, "outbox", "new-epoch", "core", "--yes")
    assert done.returncode == Exit.DONE, done.stderr
    assert "a new chain begins after number 0" in done.stdout
    again = json.loads(ask(config, "outbox", "new-epoch", "documents", "--json").stdout)
    assert (again["lane"], again["still_waiting"]) == ("documents", 0)
    assert ask(config, "outbox", "new-epoch", "elsewhere", "--yes").returncode == Exit.USAGE


def test_the_queue_is_still_shown_by_the_bare_command(config: Path) -> None:
    """With its options, as before."""
    (queue,) = objects(ask(config, "outbox", "--limit", "5", "--json").stdout)
    assert (queue["waiting"], queue["rows"]) == (0, [])
