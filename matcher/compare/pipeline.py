"""Two templates to a score, one line per step."""

from matcher.compare import parameters as par
from matcher.compare.alignment import best_pose, follow_skin, seed_poses
from matcher.compare.calibration import Score, calibrated, no_match
from matcher.compare.evidence import Evidence, weigh
from matcher.compare.pairing import candidate_pairs
from matcher.compare.prepared import Prepared, prepare
from matcher.compare.scoring import raw_score
from matcher.template import Template

__all__ = ["Prepared", "Score", "compare", "evidence_between", "prepare"]


def compare(probe: Template | Prepared, gallery: Template | Prepared) -> Score:
    """How likely two impressions are of one finger.

    Either side may be prepared beforehand. The order of the two makes no difference, to the last bit.
    """
    evidence = evidence_between(_prepared(probe), _prepared(gallery))
    return no_match() if evidence is None else calibrated(raw_score(evidence), evidence.matched)


def evidence_between(one: Prepared, two: Prepared) -> Evidence | None:
    """The evidence under the best alignment; None where either side has too little to be laid over anything.

    The order of the two makes no difference, to the last bit.
    """
    one, two = _in_order(one, two)
    if min(len(one), len(two)) < par.LEAST_MINUTIAE:
        return None
    candidates = candidate_pairs(one, two)
    poses = seed_poses(one, two, candidates)
    pose, fit = best_pose(one, two, poses)
    return weigh(one, two, follow_skin(one, two, pose, fit))


def _prepared(template: Template | Prepared) -> Prepared:
    return template if isinstance(template, Prepared) else prepare(template)


def _in_order(one: Prepared, two: Prepared) -> tuple[Prepared, Prepared]:
    """The same two in the same order whichever came first."""
    if len(one) != len(two):
        return (one, two) if len(one) < len(two) else (two, one)
    return (one, two) if one.position.tobytes() <= two.position.tobytes() else (two, one)
