"""Every number of the extraction: unit, where it comes from, what raising it does.

Lengths are pixels at 500 dpi (one ridge period is about 9 px) unless said otherwise.
"""

from typing import Final

# --- what is taken as a picture -----------------------------------------------------------------------------

DPI: Final = 500.0
"""Resolution at which the network was trained and templates are measured."""

MIN_DPI, MAX_DPI = 250.0, 1100.0
"""Outside, a ridge is no longer resolved, or the header lies."""

MIN_SIDE: Final = 64
"""px of the picture given and at 500 dpi. 64 px is 3 mm: no finger is recognised from less."""

MAX_SIDE: Final = 4000
"""px of the picture given; bounds memory."""

MAX_CROP: Final = 1024
"""px at 500 dpi of the finger looked at: 52 mm, longer than any fingertip. Raising it costs memory (600 MB here)."""

# --- finger or background ------------------------------------------------------------------------------------

ACTIVITY_WINDOW: Final = 17
"""px; side of the square in which grey levels must vary: nearly two ridge periods."""

ACTIVITY_LEAST: Final = 6.0
"""Grey levels of standard deviation. Lower takes sensor noise for ridges, higher loses dry fingers."""

ACTIVITY_SHARE: Final = 0.25
"""Of the activity of the liveliest tenth of the picture. Higher cuts faint borders of the finger."""

FINGER_CLOSING: Final = 25
"""px; gaps of this size inside the finger are closed, then specks of it outside removed."""

FINGER_MARGIN: Final = 16
"""px kept around the finger at least. With 4 one minutia in 30 differs from the uncut picture's, with 16 one in 70."""

GRID: Final = 32
"""px; the network halves its picture five times."""

# --- minutiae ------------------------------------------------------------------------------------------------

POSITION_THRESHOLD: Final = 0.12
"""Least probability of a minutia. The network's author takes 0.6; the comparison weighs each minutia by its
probability, and with the doubtful ones it refuses a third to a half fewer mates on every sensor and against every
other extractor (from 0.2 to 0.06 nothing changes much). For certain minutiae only take quality 60 up."""

KIND_THRESHOLD: Final = 0.0
"""Log-odds above which a minutia is an ending."""

# --- polarity ------------------------------------------------------------------------------------------------

BACKGROUND_REACH: Final = 8
"""px around the finger that are neither finger nor background."""

BACKGROUND_LEAST: Final = 0.03
"""Share of the picture that must be background before it is believed."""

BACKGROUND_BLACK: Final = 48
"""Grey level below which a background is black even if half of the finger's levels are near it."""
