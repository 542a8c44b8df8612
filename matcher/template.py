"""The minutiae of one impression, as arrays. In memory only; :meth:`Template.wipe` it on every way out."""

from dataclasses import dataclass
from typing import Final, NoReturn, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from matcher.errors import InvalidTemplateError

OTHER: Final = 0
ENDING: Final = 1
BIFURCATION: Final = 2

MAX_COORDINATE: Final = 1e6
"""Pixels. Far beyond any sensor (a palm at 1000 dpi is 5,000 px): further out is a damaged record."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Template:
    """Minutiae of one finger impression.

    x, y : (n,) float64, pixels at 500 dpi, origin top left, y down.
    angle : (n,) float64, radians in [0, 2 pi), counter-clockwise from +x seen with y up.
    kind : (n,) int8, 0 other or unknown, 1 ridge ending, 2 bifurcation.
    quality : (n,) float64, 0 to 100, nan where not known.

    Make one with :meth:`of`, which copies and checks; the arrays belong to the template.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    kind: NDArray[np.int8]
    quality: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        x: ArrayLike,
        y: ArrayLike,
        angle: ArrayLike,
        kind: ArrayLike | None = None,
        quality: ArrayLike | None = None,
    ) -> Self:
        """Copy, check and bring angles into [0, 2 pi).

        Raises
        ------
        InvalidTemplateError
            Lengths differ, x, y or angle not finite, coordinates beyond ``MAX_COORDINATE``,
            kind not 0 to 2, quality neither nan nor 0 to 100.
        """
        xs, ys, angles = (_floats(values, name) for values, name in ((x, "x"), (y, "y"), (angle, "angle")))
        count = xs.shape[0]
        qualities = np.full(count, np.nan) if quality is None else _floats(quality, "quality")
        kinds_given = np.zeros(count) if kind is None else _floats(kind, "kind")
        for name, values in (("y", ys), ("angle", angles), ("kind", kinds_given), ("quality", qualities)):
            if values.shape != xs.shape:
                raise InvalidTemplateError(f"{name} has {values.shape[0]} values for {count} minutiae")
        if not (np.isfinite(xs).all() and np.isfinite(ys).all() and np.isfinite(angles).all()):
            raise InvalidTemplateError("a position or angle is not a finite number")
        if count and max(np.abs(xs).max(), np.abs(ys).max()) > MAX_COORDINATE:
            raise InvalidTemplateError("a position is beyond any sensor")
        if not np.isin(kinds_given, (OTHER, ENDING, BIFURCATION)).all():
            raise InvalidTemplateError("a minutia type is none of other, ending, bifurcation")
        known = qualities[~np.isnan(qualities)]
        if known.size and (known.min() < 0 or known.max() > 100):
            raise InvalidTemplateError("a quality is outside 0 to 100")
        wrapped = np.mod(angles, 2 * np.pi)
        wrapped[wrapped >= 2 * np.pi] = 0.0  # mod of a tiny negative number rounds up to 2 pi itself
        return cls(xs, ys, wrapped, kinds_given.astype(np.int8), qualities)

    @classmethod
    def empty(cls) -> Self:
        """A template without minutiae."""
        return cls.of([], [], [])

    def __len__(self) -> int:
        return int(self.x.shape[0])

    def __repr__(self) -> str:
        return f"<template of {len(self)} minutiae>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a template is neither pickled nor copied")

    def subset(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """A new template of the chosen minutiae, in the order of ``index``."""
        return type(self)(
            self.x[index].copy(),
            self.y[index].copy(),
            self.angle[index].copy(),
            self.kind[index].copy(),
            self.quality[index].copy(),
        )

    def best(self, limit: int) -> Self:
        """The ``limit`` minutiae of highest quality (unknown counts as lowest), in their given order."""
        if len(self) <= limit:
            return self.subset(np.arange(len(self)))
        order = np.argsort(-np.nan_to_num(self.quality, nan=-1.0), kind="stable")[:limit]
        return self.subset(np.sort(order))

    def wipe(self) -> None:
        """Overwrite every array with zeros; safe to call twice."""
        for values in (self.x, self.y, self.angle, self.kind, self.quality):
            values[...] = 0


def _floats(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTemplateError(f"{name} is not an array of numbers") from error
    if array.ndim != 1:
        raise InvalidTemplateError(f"{name} has {array.ndim} dimensions, not 1")
    return array
