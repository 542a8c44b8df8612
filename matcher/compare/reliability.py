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
    Where there are only two qualities, as on cards, they are taken as better and worse, whatever numbers they are.
    Whoever stacks minutiae on one spot to meet any direction makes every one of them worthless.
    """
    crowding = np.exp(-0.5 * (distance / par.CROWD_REACH) ** 2).sum(axis=1) - 1.0
    rated = quality.size > 0 and bool(np.isfinite(quality).all())
    if rated and np.ptp(quality) > par.QUALITY_DIFFERS and np.unique(quality).size == 2:
        better = quality == quality.max()
        odds = np.where(better, par.BETTER_ODDS, par.WORSE_ODDS) - par.TWO_LEVEL_CROWDING * crowding
    elif rated and np.ptp(quality) > par.QUALITY_DIFFERS:
        odds = par.RATED_ODDS + par.RATED_QUALITY * quality / 100.0 - par.RATED_CROWDING * crowding
    else:
        odds = par.UNRATED_ODDS - par.UNRATED_CROWDING * crowding
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-odds))
    return probability
