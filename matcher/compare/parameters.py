"""Every number of the comparison: unit, where it comes from, what raising it does.

Lengths are pixels at 500 dpi (one ridge period is about 9 px), angles are radians.
"MCC" is Cappelli, Ferrara, Maltoni: Minutia Cylinder-Code, IEEE TPAMI 32(12), 2010.
"""

from typing import Final

# --- preparing a template ---------------------------------------------------------------------------------

MAX_MINUTIAE: Final = 80
"""The most reliable ones kept. Raising it costs time (quadratic) and lets noise in."""

MOST_READ: Final = 255
"""Minutiae looked at before the best are kept: what a record can hold. Bounds time and memory."""

LEAST_WIDTH: Final = 10.0
"""px; least standard deviation of the minutiae across their longest direction. Of 2,000 templates of real prints the
narrowest has 17; minutiae in a line have none, and a line finds a few partners on any finger."""

REGULAR_FROM: Final = 8
LEAST_IRREGULARITY: Final = 0.1
MOST_PARALLEL: Final = 0.985
"""From so many minutiae on: least standard deviation of the distances to the nearest neighbour, as a share of their
mean, and longest mean of the doubled directions. Real prints have 0.25 and more, and 0.97 at most; windows of 90 px
0.13, and 0.98; a grid has 0, and one direction for all 1."""

ORDER_REACH: Final = 35.0
"""px; how far round a minutia the ridges of its neighbours are looked at."""

FARTHEST: Final = 20000.0
"""px from the origin (one metre): a minutia further out is damage and left out."""

LEAST_MINUTIAE: Final = 3
"""With fewer on either side there is nothing to compare: the score is 0."""

OUTLINE_DIRECTIONS: Final = 16
"""Half planes that bound the finger area. More follow the hull closer; 16 err by less than 2 %."""

# --- reliability of a minutia --------------------------------------------------------------------------------
# Logistic regressions of "matched in another impression" over minutiae inside the common area of 10,000 pairs,
# separately for four extractors; the numbers are what they have in common.

CROWD_REACH: Final = 12.0
"""px; width of the Gaussian that counts a minutia's neighbours. Reaches of 8 to 25 px tell less."""

UNRATED_ODDS: Final = 2.7
UNRATED_CROWDING: Final = 1.5
"""Log-odds of a lone minutia without quality, and what each close neighbour takes away."""

RATED_ODDS: Final = -1.0
RATED_QUALITY: Final = 4.8
RATED_CROWDING: Final = 1.1
"""Log-odds at quality 0, their gain up to quality 100, and what each close neighbour takes away."""

BETTER_ODDS: Final = 2.0
WORSE_ODDS: Final = 0.2
TWO_LEVEL_CROWDING: Final = 1.2
"""Log-odds of a lone minutia of the better and of the worse of two qualities, and what each close neighbour takes away.
Between extractors whose two levels mean much (mindtct 2.2, 0.4) and nothing (SourceAFIS 2.7, 2.7; SecuGen 3.0, 2.9)."""

LEVELS_REACH: Final = 40.0
LEVELS_AGREE: Final = 0.15
"""px; how far round a minutia its neighbours' levels are looked at, and Moran's I from which on two levels are believed
whole. Where levels mean something it is 0.17 to 0.21 (mindtct) and 0.07 to 0.10 (ours) on average, where they are
dealt out at random 0.01, give or take 0.08."""

QUALITY_DIFFERS: Final = 1.0
"""Least difference between qualities of one template for them to say anything."""

LEAST_RELIABILITY: Final = 0.05
"""A minutia believed less is left out: four close neighbours, or a stack on one spot."""

# --- local descriptor (MCC's cylinder, coarser) -------------------------------------------------------------

CYLINDER_RADIUS: Final = 75.0
"""px; MCC uses 70. Larger sees more neighbours and more skin distortion, and fails on small overlaps."""

CYLINDER_CELLS: Final = 8
"""Cells along each side of the base. More cells want better positions than foreign extractors give."""

CYLINDER_LAYERS: Final = 6
"""Layers of relative direction round the full turn (MCC: 6)."""

CYLINDER_SPREAD: Final = 10.0
"""px; Gaussian spread of a neighbour's position over the cells. Larger forgives distortion, tells less apart."""

CYLINDER_TURN: Final = 0.52
"""rad; spread of a neighbour's direction over the layers (30 degrees): foreign extractors scatter that much."""

CYLINDER_SATURATION: Final = 0.5
"""Occupancy at which a cell is half full. Smaller makes a cell nearly binary."""

# --- candidate pairs and their mutual support ----------------------------------------------------------------

MAX_TURN_COS: Final = -0.3
"""Cosine of the largest rotation between the two impressions (107 degrees)."""

CANDIDATES: Final = 64
"""Pairs of minutiae looked at further. More finds poorer prints and costs time (quadratic)."""

UNTHREADED_PRODUCT: Final = 250_000
"""Multiplications in one matrix product that OpenBLAS still does in one thread (its limit: 262,144)."""

LENGTH_TOLERANCE: Final = 5.0
"""px; how much the distance between two minutiae may differ at zero distance."""

LENGTH_STRETCH: Final = 0.05
"""Share of the distance that skin stretch adds to the tolerance."""

BEARING_TOLERANCE: Final = 0.3
"""rad; scatter of the direction to a neighbour, seen from either end."""

RELAXATIONS: Final = 3
"""Rounds in which pairs gain from the pairs they agree with. More lets one cluster win all."""

RELAXATION_OWN: Final = 0.1
"""What a pair keeps without support, relative to the best similarity."""

SEEDS: Final = 4
"""Alignments tried, each from another cluster of agreeing pairs."""

SEED_CLUSTER: Final = 0.3
"""Agreement above which a pair belongs to a seed's cluster and starts no alignment of its own."""

DIRECTION_ARM: Final = 30.0
"""px; a direction weighs in the rotation like a neighbour at this distance."""

# --- alignment and skin distortion ----------------------------------------------------------------------------

RIGID_SPREAD: Final = 9.0
RIGID_GATE: Final = 20.0
TURN_SPREAD: Final = 0.30
RIGID_TURN_GATE: Final = 0.52
"""px, px, rad, rad: Gaussian widths and cut-offs under the rigid alignment, before the skin is followed."""

WARP_GATES: Final = ((16.0, 0.50), (11.0, 0.436))
"""px, rad: cut-offs after each round of following the skin."""

WARP_SPREAD: Final = 7.0
"""px; Gaussian width of the distance once the skin is followed."""

WARP_REACH: Final = 60.0
"""px; how far a matched pair pulls its neighbourhood. Shorter follows noise and lets strangers fit."""

WARP_STIFFNESS: Final = 0.3
"""Pairs' worth of resistance against the pull."""

# --- evidence ----------------------------------------------------------------------------------------------------

OUTLINE_MARGIN: Final = 2.0
"""px outside the other finger's outline that still count as inside."""

COMMON_FLOOR: Final = 3.0
"""Least trust by which the matched share is divided: three of three proves little."""

MATCHED_CEILING: Final = 10.0
"""Trusted matches beyond which more add nothing to the share."""

EDGE_REACH: Final = 90.0
EDGE_LENGTH_TOLERANCE: Final = 4.0
EDGE_WEIGHT: Final = 0.02
"""px, px, share per agreeing edge between matched neighbours."""

DENSITY_REACH: Final = 40.0
"""px; width of the Gaussian in which minutiae are counted for the chance of a match."""

MATCH_AREA: Final = 108.0
"""px^2 in which a chance match may lie: 2 pi 7^2 times 0.35, the share of directions that pass."""

ASIDE: Final = 28.0
ASIDE_WAYS: Final = 6
"""px, and in how many directions round the first finger is moved aside to see what meets by chance: three ridges, past
the reach of a match (20 px) and near enough for density and run of ridges to be the same."""

CHANCE_FLOOR: Final = 0.3
"""Least chance believed: among a hundred strangers' pairs one has less, and little overlap must not look like luck."""

SPACING_RANGE: Final = (15.0, 35.0)
"""px; mean distances to the nearest neighbour are held within. Of 2,000 templates of real prints nearly all lie between
19 and 30; beyond nothing was measured."""

# --- score -----------------------------------------------------------------------------------------------------

WEIGHT_SHARE: Final = 5.891
WEIGHT_INFORMATION: Final = 2.865
WEIGHT_CHANCE: Final = -5.305
WEIGHT_FEWER: Final = 0.635
WEIGHT_MORE: Final = 0.112
WEIGHT_SPACING: Final = -0.0424
WEIGHT_CONSTANT: Final = -15.568
"""Log-odds per unit of each part of the evidence, and without any; from ``python -m bench calibrate``."""

ORDERLY: Final = 0.3
WEIGHT_DISORDER: Final = -15.0
"""Order below which a side looks like no finger, and log-odds per unit short of it. One real print in a hundred has
less; minutiae thrown at random have 0. Set by hand, before the fit."""

SMALL_TRUST: Final = 20.0
WEIGHT_SMALL: Final = -1.57
"""Trusted minutiae below which the poorer side is small, and log-odds per unit of log(1 + trust) short of that.
A few minutiae find a place on any finger. From ``python -m bench calibrate``, by windows of 90 to 180 px cut from
prints: strangers' windows reach the 0.1 % threshold as often as whole prints."""
