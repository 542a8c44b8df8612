"""Whatever goes wrong is told in one sentence with cause and cure, in both languages."""

import errno
import importlib
import pkgutil
from types import ModuleType

import pytest

import config
import drivers
import matcher
import mpos_agent
import sync
from config.tables import load_tables
from drivers.card.errors import NoCardError
from mpos_agent.claim.findings import Block, Caution
from mpos_agent.outcomes import TABLE, Exit, outcome_of, told
from sync.errors import Cause, HeadOfficeError


def modules_of(package: ModuleType) -> list[ModuleType]:
    """A package with everything below it, imported."""
    found = [package]
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # A command line's __main__ runs when it is imported; the matcher's own command line tells its errors itself.
        if not info.name.endswith("__main__") and not info.name.startswith("matcher.cli"):
            found.append(importlib.import_module(info.name))
    return found


def error_classes() -> list[type[BaseException]]:
    """Every error class with a code of its own that this program can raise."""
    found: set[type[BaseException]] = set()
    for package in (config, drivers, matcher, mpos_agent, sync):
        for module in modules_of(package):
            for thing in vars(module).values():
                if isinstance(thing, type) and issubclass(thing, BaseException) and hasattr(thing, "code"):
                    found.add(thing)
    return sorted(
        (
            kind
            for kind in found
            if kind.__module__.split(".")[0] in {"config", "drivers", "matcher", "mpos_agent", "sync"}
        ),
        key=lambda kind: (kind.__module__, kind.__qualname__),
    )


def test_every_error_class_has_a_row() -> None:
    """No error of the program reaches an operator as a bare name."""
    classes = error_classes()
    assert len(classes) > 30
    missing = [f"{kind.__module__}.{kind.__qualname__} ({kind.code})" for kind in classes if kind.code not in TABLE]  # type: ignore[attr-defined]
    assert not missing


def test_codes_tell_causes_apart() -> None:
    """Two classes share a code only when one refines the other and says nothing new."""
    seen: dict[str, type[BaseException]] = {}
    for kind in error_classes():
        code = str(vars(kind).get("code", ""))
        # "Not enrolled" is said by the wire, which cannot import the agent's errors, and by the agent itself.
        if code and code != "not_enrolled":
            assert code not in seen, f"{kind} and {seen.get(code)} share {code}"
            seen[code] = kind


@pytest.mark.parametrize("code", sorted(TABLE))
def test_each_sentence_has_cause_and_cure(code: str) -> None:
    """One sentence each: a cause, a semicolon, a cure, a full stop."""
    outcome = told(code)
    for text in (outcome.text_id, outcome.text_en):
        assert text.count("; ") >= 1
        assert text.endswith(".")
        assert ".." not in text
        assert text[0].isupper()
    assert outcome.text_id != outcome.text_en
    assert outcome.exit_code is not Exit.DONE
    assert 400 <= outcome.status < 600


@pytest.mark.parametrize("cause", list(Cause), ids=lambda cause: cause.value)
def test_each_way_head_office_can_be_away_has_its_own_cure(cause: Cause) -> None:
    """A captive portal, a wrong clock and a dead line are cured differently."""
    outcome = outcome_of(HeadOfficeError(cause))
    assert outcome.code == f"head_office_{cause.value}"
    assert outcome.retryable


def test_a_refused_token_says_what_to_do_about_a_token() -> None:
    """Other refusals keep head office's own word in the detail."""
    outcome = outcome_of(HeadOfficeError(Cause.REFUSED, "HTTP 403", refused_as="token_refused"))
    assert outcome.code == "head_office_token_refused"
    assert "token baru" in outcome.text_id
    other = outcome_of(HeadOfficeError(Cause.REFUSED, "HTTP 403", refused_as="not_your_checkpoint"))
    assert (other.code, "not_your_checkpoint" in other.detail) == ("head_office_refused", True)


@pytest.mark.parametrize("finding", [*Block, *Caution], ids=lambda finding: finding.value)
def test_everything_found_in_an_input_has_its_sentence(finding: Block | Caution) -> None:
    """What blocks or warns is told in words from the tables, in both languages, and says what to do."""
    text = load_tables().texts[f"finding.{finding.value}"]
    for sentence in (text.id, text.en):
        assert sentence.endswith(".")
        assert ";" in sentence or "," in sentence or ". " in sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_bug_wherever_it_is_met(number: int) -> None:
    """A token, a log or a key that does not fit any more has the same cure as the queue."""
    outcome = outcome_of(OSError(number, "No space left on device", "/var/lib/mpos-agent/callers.json.tmp"))
    assert (outcome.code, outcome.exit_code) == ("storage_full", Exit.STORAGE)


def test_an_error_without_a_code_is_our_bug_and_shows_nothing_of_itself() -> None:
    """The text of an unexpected error may hold anything, so that it is not shown."""
    outcome = outcome_of(KeyError("PESERTA UJI SATU"))
    assert (outcome.code, outcome.detail, outcome.exit_code) == ("internal", "", Exit.BUG)


def test_a_device_error_says_whether_trying_again_helps() -> None:
    """What a program needs to decide stands beside what a person reads."""
    body = outcome_of(NoCardError("Reader", "connect")).as_json()
    assert body["code"] == "no_card"
    assert body["retryable"] is True
    assert body["text_id"] == "Tidak ada kartu pada pembaca; letakkan e-KTP di atas pembaca, lalu coba lagi."
    assert set(body) == {"code", "cause", "cure", "text_id", "text_en", "retryable", "detail"}
