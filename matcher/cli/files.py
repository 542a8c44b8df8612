"""Pictures and templates from files; the only place of the matcher that reads either."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from matcher.errors import MatcherError, TemplateFormatError, UnusableImageError
from matcher.extract.network import Network
from matcher.extract.pipeline import extract
from matcher.iso19794 import decode
from matcher.template import Template

PICTURES: Final = frozenset({".png", ".tif", ".tiff", ".bmp", ".webp", ".jpg", ".jpeg", ".pgm"})
TEMPLATES: Final = frozenset({".fmr", ".iso", ".dat"})


class UsageError(MatcherError):
    """What was asked for on the command line cannot be done; the message names cause and cure."""

    code = "usage"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A picture or template file under the name it has in a score list."""

    name: str
    path: Path

    @property
    def is_picture(self) -> bool:
        return self.path.suffix.lower() in PICTURES


def entry(path: Path) -> Entry:
    """One file of a kind we read.

    Raises UsageError where it is missing or of another kind.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if path.suffix.lower() not in PICTURES | TEMPLATES:
        known = " ".join(sorted(PICTURES | TEMPLATES))
        raise UsageError(f"{path}: neither a picture nor a template by its name; known are {known}")
    return Entry(path.stem, path)


def entries(folder: Path) -> list[Entry]:
    """The pictures and templates of a folder, in the order of their names.

    Raises UsageError where there is no such folder, nothing in it, or two files of one name.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = sorted(
        Entry(path.stem, path)
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in PICTURES | TEMPLATES
    )
    if not found:
        known = " ".join(sorted(PICTURES | TEMPLATES))
        raise UsageError(f"{folder}: no picture and no template in it; known are {known}")
    for one, two in pairwise(found):
        if one.name == two.name:
            raise UsageError(f"{folder}: {one.path.name} and {two.path.name} have one name; move one elsewhere")
    return found


def needs_dpi(found: list[Entry], dpi: float | None) -> float:
    """The resolution, or UsageError: picture files do not say theirs reliably."""
    if dpi is None:
        pictures = [entry.path.name for entry in found if entry.is_picture]
        if pictures:
            raise UsageError(f"{pictures[0]}: a picture does not say its resolution; add --dpi N (most scanners: 500)")
        return 500.0
    return dpi


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Grey levels of a picture file; colour is averaged, 16 bits become 8, transparency is dropped.

    Raises UnusableImageError where the file is none or damaged.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise UnusableImageError(f"{path.name} cannot be read: {error.strerror}") from error
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise UnusableImageError(f"{path.name} is damaged") from error
    if pixels is None:
        raise UnusableImageError(f"{path.name} is not a picture or is damaged")
    if pixels.dtype == np.uint16:
        pixels = (pixels // 256).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise UnusableImageError(f"{path.name} has levels of type {pixels.dtype}, not 8 or 16 bits")
    if pixels.ndim == 3:
        conversion = {1: None, 3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}.get(pixels.shape[2])
        pixels = pixels[:, :, 0] if conversion is None else cv2.cvtColor(pixels, conversion)
    return np.ascontiguousarray(pixels, dtype=np.uint8)


def read_template(path: Path) -> Template:
    """The first view of a record.

    Raises TemplateFormatError.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TemplateFormatError(f"{path.name} cannot be read: {error.strerror}") from error
    views = decode(data).views
    if not views:
        raise TemplateFormatError(f"{path.name} has no finger in it")
    return views[0].template


def template_of(found: Entry, dpi: float, network: Network | None) -> Template:
    """The minutiae of a file; ``network`` may be None where it is a template.

    Raises MatcherError where the file cannot be used.
    """
    if not found.is_picture:
        return read_template(found.path)
    assert network is not None, "who asks for a picture loads the network first"
    return extract(read_picture(found.path), dpi, network)
