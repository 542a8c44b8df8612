"""How far apart the ridges lie: about 9 px at 500 dpi, wider where the flow spreads, under the deltas and at the tip.

Where ridges run together they must either lie closer or end; where they spread, lie further apart or
fork. In skin the distance gives way first, so that minutiae point both ways in about equal numbers. With
a distance that takes no notice of the flow, every place where it narrows would be a row of endings all
pointing one way, and fingers with the same flow would share them.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.pattern import Pattern
from drivers.scanner.synthetic.smooth_field import smooth_field

MEAN_PERIOD_PX = 9.0
"""Mean distance of two ridges in px at 500 dpi (0.46 mm, adults of both sexes)."""
SHORTEST_PERIOD_PX, LONGEST_PERIOD_PX = 6.8, 12.4
"""Beyond these no healthy adult ridge lies; the filters are made for this range."""

_STEP = 8
"""The distance that fits the flow is found on a grid of this many px: it changes slowly."""
_MEMORY = 30.0
"""Steps over which the flow's spreading adds up before the usual distance asserts itself."""
_STIFFNESS = 0.08
"""How much neighbouring ridges hold on to one another's distance, against the flow's demand of 1."""
_MOST_GIVE = 0.24
"""Of the logarithm of the distance: ridges give way up to a quarter, then they end or fork."""
_ROUNDS = 120


def ridge_period(
    rng: np.random.Generator, pattern: Pattern, position: NDArray[np.complex128], theta: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The ridge distance at every position.

    Parameters
    ----------
    position : (H, W) complex128
        x + iy in px at 500 dpi from the middle of the pad, y up. H and W multiples of 8.
    theta : (H, W) float64
        Ridge direction, radians counter-clockwise from +x, y up.

    Returns
    -------
    period : (H, W) float64
        Pixels at 500 dpi, between SHORTEST_PERIOD_PX and LONGEST_PERIOD_PX.

    Notes
    -----
    Above the uppermost core and below the lowest delta ridges lie further apart than between them
    (Cappelli, Maio, Maltoni, "Synthetic fingerprint-image generation", ICPR 2000).
    """
    y = position.imag
    top = max((core.imag for core in pattern.cores), default=20.0)
    bottom = min((delta.imag for delta in pattern.deltas), default=-110.0)
    of_this_finger = MEAN_PERIOD_PX * float(np.clip(rng.normal(0.97, 0.055), 0.86, 1.1))
    above = 0.06 * _ramp((y - top) / 120)
    below = 0.16 * _ramp((bottom + 25 - y) / 90)
    shape = (position.shape[0], position.shape[1])
    unrest = 0.06 * smooth_field(rng, shape, 60.0) + 0.06 * smooth_field(rng, shape, 32.0)
    period = of_this_finger * (1 + above + below + unrest) * np.exp(-_crowding(theta))
    return np.asarray(np.clip(period, SHORTEST_PERIOD_PX, LONGEST_PERIOD_PX), dtype=np.float64)


def _crowding(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the ridge frequency, relative to the mean, that fits the flow best.

    Notes
    -----
    Ridges with direction t and frequency exp(u) neither end nor fork where grad(u)·t = -div(t). As t has
    no sign, this is written with T = t tᵀ: T grad(u) + T div(T) = 0. Its squares are minimised together
    with stiffness * |grad(u)|² + (u / memory)², by conjugate gradients.
    """
    # Averages of the doubled angle over each cell; weak where the cell holds a core or delta.
    cells = (theta.shape[0] // _STEP, _STEP, theta.shape[1] // _STEP, _STEP)
    doubled = np.exp(2j * theta).reshape(cells).mean(axis=(1, 3))
    # Rows grow downwards, y upwards: the mixed term changes its sign.
    t_xx, t_rr, t_xr = (1 + doubled.real) / 2, (1 - doubled.real) / 2, -doubled.imag / 2
    spread_x, spread_r = (
        np.gradient(t_xx, axis=1) + np.gradient(t_xr, axis=0),
        np.gradient(t_xr, axis=1) + np.gradient(t_rr, axis=0),
    )
    demand_x, demand_r = t_xx * spread_x + t_xr * spread_r, t_xr * spread_x + t_rr * spread_r

    def applied(u: NDArray[np.float64]) -> NDArray[np.float64]:
        along_x, along_r = np.diff(u, axis=1, append=u[:, -1:]), np.diff(u, axis=0, append=u[-1:])
        flow_x = (t_xx + _STIFFNESS) * along_x + t_xr * along_r
        flow_r = t_xr * along_x + (t_rr + _STIFFNESS) * along_r
        return np.asarray(u / _MEMORY**2 - _divergence(flow_x, flow_r))

    u = np.zeros(doubled.shape)
    rest = _divergence(demand_x, demand_r)
    search, energy = rest, float((rest * rest).sum())
    for _ in range(_ROUNDS):
        if energy < 1e-12:  # a flow that neither spreads nor narrows
            break
        pulled = applied(search)
        stride = energy / float((search * pulled).sum())
        u = u + stride * search
        rest = rest - stride * pulled
        before, energy = energy, float((rest * rest).sum())
        search = rest + search * (energy / before)
    given = _MOST_GIVE * np.tanh(u / _MOST_GIVE)
    fine = cv2.resize(given, (theta.shape[1], theta.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(fine, dtype=np.float64)


def _divergence(flow_x: NDArray[np.float64], flow_r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Outflow of each cell; nothing passes the rim. The adjoint of the differences, with its sign turned."""
    inside_x, inside_r = flow_x.copy(), flow_r.copy()
    inside_x[:, -1] = 0
    inside_r[-1] = 0
    return np.asarray(np.diff(inside_x, axis=1, prepend=0.0) + np.diff(inside_r, axis=0, prepend=0.0))


def _ramp(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below 0, 1 above 1, smooth between."""
    inside = np.clip(value, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside))
