"""Two templates to a score, one line per step."""

from matcher.compare import parameters as par
from matcher.compare.alignment import align, seed_poses
from matcher.compare.calibration import Score, calibrated
from matcher.compare.pairing import candidate_pairs
from matcher.compare.prepared import Prepared, prepare
from matcher.compare.scoring import raw_score
from matcher.template import Template


def compare(probe: Template | Prepared, gallery: Template | Prepared) -> Score:
    """How likely two impressions are of one finger.

    Either side may be prepared beforehand. The order of the two makes no difference.
    """
    one, two = _in_order(_prepared(probe), _prepared(gallery))
    if min(len(one), len(two)) < par.LEAST_MINUTIAE:
        return calibrated(0.0, 0)
    candidates = candidate_pairs(one, two)
    poses = seed_poses(one, two, candidates)
    aligned = align(one, two, poses)
    return calibrated(raw_score(one, two, aligned), len(aligned.first))


def _prepared(template: Template | Prepared) -> Prepared:
    return template if isinstance(template, Prepared) else prepare(template)


def _in_order(one: Prepared, two: Prepared) -> tuple[Prepared, Prepared]:
    """The same two in the same order whichever came first, so that the score is symmetric to the last bit."""
    if len(one) != len(two):
        return (one, two) if len(one) < len(two) else (two, one)
    return (one, two) if one.position.tobytes() <= two.position.tobytes() else (two, one)
