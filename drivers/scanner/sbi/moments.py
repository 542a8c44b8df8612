"""Times as the interface writes them: ``2026-01-02T03:04:05Z``, always UTC."""

import datetime
import re

from drivers.scanner.sbi.errors import Refusal, WrongAnswerError

_FORM = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
"""Some services add fractions of a second."""


def written(moment: datetime.datetime) -> str:
    """An aware time, to the second."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(value: str) -> datetime.datetime:
    """An aware time; one without its zone is refused, because it could be any hour."""
    if not _FORM.fullmatch(value):
        raise WrongAnswerError(Refusal.TIME_FORM, "not yyyy-mm-ddThh:mm:ssZ")
    try:
        return datetime.datetime.fromisoformat(value)
    except ValueError as error:
        raise WrongAnswerError(Refusal.TIME_FORM, "no such moment") from error


def check(
    moment: datetime.datetime, asked: datetime.datetime, now: datetime.datetime, band: datetime.timedelta
) -> None:
    """A capture lies between its request and now, give or take the band on *both* sides."""
    if moment < asked - band:
        raise WrongAnswerError(Refusal.TIME_OLD, f"{(asked - moment).total_seconds():.0f} s before it was asked for")
    if moment > now + band:
        raise WrongAnswerError(Refusal.TIME_AHEAD, f"{(moment - now).total_seconds():.0f} s in the future")
