"""How likely a minutia is really there, told by its neighbours and by the extractor's own word."""

import numpy as np
from numpy.typing import NDArray

from matcher.compare import parameters as par


def reliability(distance: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that another impression of the finger shows each minutia too.

    Parameters
    ----------
    distance : (n, n) float64
        Between the minutiae of one template, px.
    quality : (n,) float64
        0 to 100, nan where the extractor did not say.

    Returns
    -------
    (n,) float64
        0 to 1.

    Notes
    -----
    Minutiae crowd where an extractor reads scars, creases and noise as ridges: crowding is the sum over the others of
    exp(-distance^2 / 2 c^2). The reliability is logistic in it and, where qualities are given and differ, in quality.
    Where there are only two qualities, as on cards, they are taken as better and worse, whatever numbers they are, and
    believed as far as neighbours share them (:func:`_agreement_of_neighbours`): clear and poor skin lie in patches,
    levels dealt out at random do not.
    Whoever stacks minutiae on one spot to meet any direction makes every one of them worthless.
    """
    squared = distance**2
    crowding = np.exp(squared * (-0.5 / par.CROWD_REACH**2)).sum(axis=1) - 1.0
    unrated = par.UNRATED_ODDS - par.UNRATED_CROWDING * crowding
    rated = quality.size > 0 and bool(np.isfinite(quality).all()) and np.ptp(quality) > par.QUALITY_DIFFERS
    better = quality == quality.max(initial=-np.inf)
    if rated and bool((better | (quality == quality.min())).all()):
        levels = np.where(better, par.BETTER_ODDS, par.WORSE_ODDS) - par.TWO_LEVEL_CROWDING * crowding
        belief = min(max(_agreement_of_neighbours(better, squared) / par.LEVELS_AGREE, 0.0), 1.0)
        odds = belief * levels + (1.0 - belief) * unrated
    elif rated:
        odds = par.RATED_ODDS + par.RATED_QUALITY * quality / 100.0 - par.RATED_CROWDING * crowding
    else:
        odds = unrated
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return probability


def _agreement_of_neighbours(better: NDArray[np.bool_], squared: NDArray[np.float64]) -> float:
    """Moran's I of the two levels, plus what chance takes off it: 0 where they are dealt out at random, at most 1.

    P. A. P. Moran, Notes on continuous stochastic phenomena, Biometrika 37, 1950: the mean product of two neighbours'
    deviations from the mean, as a share of the variance.
    """
    near = np.exp(squared * (-0.5 / par.LEVELS_REACH**2))
    np.fill_diagonal(near, 0.0)
    deviation = better - better.mean()
    count = better.size
    shared = (deviation @ near @ deviation) * count / max(near.sum() * (deviation @ deviation), 1e-9)
    return float(shared) + 1.0 / (count - 1)
