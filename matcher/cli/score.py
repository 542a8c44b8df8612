"""Scores of whole folders, by several processes, in an order that does not depend on them."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from matcher.cli.files import Entry, entries, needs_dpi, template_of
from matcher.compare.pipeline import compare
from matcher.compare.prepared import Prepared, prepare
from matcher.errors import MatcherError
from matcher.extract.network import Network
from matcher.template import Template

Arrays = tuple[Any, ...]
"""A template's arrays between processes of this program: a template itself refuses to be pickled."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison; no score where either side is unusable."""

    probe: str
    gallery: str
    score: float | None


def score_folders(
    probes: Path, gallery: Path, dpi: float | None, jobs: int
) -> tuple[list[Row], list[tuple[Path, str]]]:
    """All rows in the order of the names, and the files that could not be used with their causes.

    Raises
    ------
    UsageError
        A folder is missing or empty, or pictures come without a resolution.
    NetworkMissingError, NetworkInvalidError
        Pictures are to be extracted and the network is not there.
    """
    one = entries(probes)
    same = probes.samefile(gallery)  # the same folder by another spelling or a link is still the same
    two = one if same else entries(gallery)
    everything = one if same else one + two
    resolution = needs_dpi(everything, dpi)
    with _workers(jobs, everything) as run, _progress() as progress:
        found = list(progress("reading", run(_extracted, everything, repeat(resolution)), len(everything)))
        templates = [item if isinstance(item, tuple) else None for item in found]
        unusable = [(entry.path, item) for entry, item in zip(everything, found, strict=True) if isinstance(item, str)]
        first, second = templates[: len(one)], templates if same else templates[len(one) :]
        tasks = [_partners(number, one, two, same=same) for number in range(len(one))]
        others = [[(k, second[k]) for k in partners] for partners in tasks]
        scores = progress("comparing", run(_compared, first, others), len(one))
        rows = [
            Row(one[number].name, two[k].name, value)
            for number, (partners, values) in enumerate(zip(tasks, scores, strict=True))
            for k, value in zip(partners, values, strict=True)
        ]
    return rows, unusable


def _partners(number: int, one: list[Entry], two: list[Entry], *, same: bool) -> list[int]:
    if same:
        return list(range(number + 1, len(two)))
    return [k for k, entry in enumerate(two) if entry.name != one[number].name]


_network: Network | None = None


def _start(with_network: bool) -> None:
    """Once in each process: one thread, and the network only where there are pictures."""
    global _network  # noqa: PLW0603 - a pool's tasks share nothing else
    _gallery.clear()
    cv2.setNumThreads(1)
    _network = Network.load() if with_network else None


def _extracted(entry: Entry, dpi: float) -> Arrays | str:
    """The template's arrays, or why there is none."""
    try:
        template = template_of(entry, dpi, _network)
    except MatcherError as error:
        return str(error)
    return (template.x, template.y, template.angle, template.kind, template.quality)


_gallery: dict[int, Prepared] = {}
"""Gallery entries this process has prepared: each is met once per probe."""


def _compared(probe: Arrays | None, gallery: list[tuple[int, Arrays | None]]) -> list[float | None]:
    """Scores against the gallery entries, each given with its number."""
    if probe is None:
        return [None] * len(gallery)
    prepared = _prepared(probe)
    scores: list[float | None] = []
    for number, other in gallery:
        if other is None:
            scores.append(None)
            continue
        if number not in _gallery:
            _gallery[number] = _prepared(other)
        scores.append(compare(prepared, _gallery[number]).value)
    return scores


def _prepared(arrays: Arrays) -> Prepared:
    return prepare(Template(*arrays))


@contextmanager
def _workers(jobs: int, everything: list[Entry]) -> Iterator[Callable[..., Iterable[Any]]]:
    """``map`` over this process or several; results always in the order of the tasks."""
    with_network = any(entry.is_picture for entry in everything)
    _start(with_network)  # here as well, so that a missing network is told before any process starts
    if jobs == 1:
        yield map
        return
    # As many processes as asked for are the threads asked for: none of them may start more for its algebra.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A forked copy of the runtime's threads would hang: processes start from nothing.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start, initargs=(with_network,)) as pool:
        yield pool.map


@contextmanager
def _progress() -> Iterator[Callable[[str, Iterable[Any], int], Iterable[Any]]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        yield lambda label, items, total: bar.track(items, total=total, description=label)
