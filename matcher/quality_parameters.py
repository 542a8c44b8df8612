"""Every number of the quality measure: unit, where it comes from, what raising it does.

"Drawn" are synthetic touches with one planted fault, "sensors" the pictures of eight published folders; the
figures behind each limit are their 5th to 95th percentiles. Lengths are pixels at 500 dpi.
"""

from typing import Final

CELL: Final = 8
"""px; side of the squares the picture is judged by: a little less than a ridge period."""

WINDOW: Final = 17
"""px; nearly two ridge periods: a ridge and a valley are always inside."""

FINE_BLUR: Final = 1.0
"""px; takes sensor noise, leaves ridges."""

COARSE_BLUR: Final = 4.0
"""px; takes ridges, leaves shading."""

# --- what counts as ridges -----------------------------------------------------------------------------------

RIDGE_COHERENCE: Final = 0.35
"""How much the gradients of a cell agree on one direction, 0 to 1. Cloth and skin without ridges reach 0.26."""

RIDGE_PERIOD: Final = (5.0, 16.0)
"""px; from a child's ridges to an adult's widest with distortion."""

RIDGE_AMPLITUDE: Final = 3.0
"""Grey levels; below is sensor noise."""

# --- reasons -------------------------------------------------------------------------------------------------

NOTHING_AREA: Final = 0.12
"""cm2 of anything lively on the glass. A fingertip has 1.2 and more, dust less than 0.1."""

GHOST_DEPTH: Final = 55.0
"""Grey levels from background to the darkest ridges. Grease: 25 to 53; the palest sensors' fingers from 46 up."""

GHOST_SURE_DEPTH: Final = 45.0
"""Paler than any sensor's finger."""

GHOST_SOLID: Final = 0.9
"""Lively area over that of its convex hull, asked where the depth leaves doubt: grease is left in patches, mostly
0.2 to 0.85; a finger is whole."""

GHOST_RIDGES: Final = 0.5
"""Share of the lively area with ridges, above which something pale is grease and not dirt."""

FINGER_RIDGES: Final = 0.2
"""Share of the lively area with ridges, below which it is no finger: cloth and edges have next to none."""

BLOB_RIDGES, BLOB_CONTRAST = 0.45, 0.095
"""Dark skin or a blot shows by chance up to 0.37 of "ridges", but their amplitude over its shade is at most 0.08; the
palest finger, the most smeared too, has 0.1."""

WET_DUTY: Final = 0.67
"""Share of a cell that is darker than the middle between its ridges and valleys. Drawn wet 0.75 to 0.83, good
fingers 0.33 to 0.56."""

SMEAR_CONTRAST: Final = 0.29
"""Ridge amplitude over mean shade. Sliding 0.08 to 0.25, good fingers 0.4 to 0.65; pale sensors 0.12 to 0.4."""

SMEAR_SPREAD: Final = 2.8
"""Strong cells' amplitude over weak cells' (2.1 to 4.3 of a sliding finger, 1.2 to 1.9 of a good one), plus
``SMEAR_BY_DIRECTION`` times how much amplitude goes with ridge direction (0.15 to 0.6; 0.01 to 0.15): sliding keeps the
ridges along its way and wipes out those across. Plus ``SMEAR_BY_BLUR`` times what coherence lacks of a half and
``SMEAR_BY_PALENESS`` times what contrast lacks of a fifth: a long way wipes out nearly all."""

SMEAR_BY_DIRECTION: Final = 3.0
SMEAR_BY_BLUR: Final = 2.0
SMEAR_BY_PALENESS: Final = 4.0

SMEAR_ALONG: Final = (0.7, 2.4)
"""By direction, and strong over weak cells: above both it slid a short way along most of its ridges, whatever its
contrast. Real fingers laid still reach 0.55 and 4, not both."""

SMEAR_COHERENCE: Final = 0.76
"""Above, the ridges are clear however pale they are, unless ``SMEAR_SURE`` is reached by strong over weak cells."""

SMEAR_SURE: Final = 3.0

SMEAR_DUTY: Final = (0.41, 0.6)
"""Sliding averages ridge and valley: 0.44 to 0.51. Below, the finger is dry; above, wet."""

OFF_CENTRE_SHIFT: Final = 0.15
"""Share of the picture's side by which the contact's middle lies off its centre, towards a border that cuts it."""

OFF_CENTRE_CUT: Final = 0.3
"""Share of that border which the contact touches."""

SMALL_AREA: Final = 0.85
"""cm2. A tip or corner of a finger 0.3 to 0.8, a pad well laid 1.2 and more."""

DRY_THIN: Final = 0.5
"""Share of cells of which less than ``DRY_DUTY`` is ridge. Drawn dry 0.57 to 0.81, good fingers up to 0.3."""

DRY_DUTY: Final = 0.3

DRY_COHERENCE: Final = 0.68
"""Above, the ridges are thin but whole. Drawn dry 0.45 to 0.63."""

WET_CELL_DUTY: Final = 0.68
"""Of a single cell that has run full."""

# --- the value -----------------------------------------------------------------------------------------------
# Least squares on the logarithm of each picture's low genuine scores, eight folders, rounded; left out one folder
# at a time it predicts the other seven's failures as well.

VALUE_AREA: Final = 0.4
"""per natural logarithm of ridge area in cm2 (0.1 added)."""

VALUE_COHERENCE: Final = 0.35
VALUE_RIDGES: Final = 1.0
VALUE_FULL: Final = 1.0
"""Weights of mean coherence, share of ridges, and share of cells run full (taken off)."""

VALUE_MIDDLE: Final = 1.05
"""Where the value is 50; drawn good fingers lie at 1.5, planted faults below 1.1."""

VALUE_WIDTH: Final = 0.18
"""Step of the sum that changes the odds by e."""

VALUE_CAPS: Final = {"not_a_finger": 5.0, "ghost": 15.0}
"""Most a picture of these may have, however clear its ridges: it is not of a finger on the glass."""
