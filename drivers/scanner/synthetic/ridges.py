"""Ridges that grow: a few spots, filtered again and again along the flow, until they cover the finger.

Each pixel is filtered by the cosine wave in a Gaussian window (a Gabor filter without its mean) that
fits the orientation and period at that pixel. Where waves from different spots meet, and where the
flow spreads, the ridges do not fit together and an ending or a fork stays: minutiae are not drawn,
they happen (Cappelli, Maio, Maltoni 2000; the window's width is theirs: three ridges wide).

A filter of its own for every pixel is costly. All filters of the bank are very nearly mixtures of
a few, so the image is filtered by these few and mixed per pixel.
"""

import functools

import numpy as np
from numpy.typing import NDArray

from drivers.scanner.synthetic.ridge_period import LONGEST_PERIOD_PX, SHORTEST_PERIOD_PX

_ANGLES = 48
_PERIODS = 14
_COMPONENTS = 26
"""Filters the others are mixed from (even): they hold 99.9 % of the bank's energy."""
_ROUNDS = 20
"""Enough for the fronts to meet and for short-lived faults to heal; more rounds leave fewer minutiae."""
_GAIN = 2.6
"""Growth of a weak wave per round; the squashing function holds it at the top."""
_SHARPNESS = 1.5
"""Steepness of the ridge's flanks: near a sine wave at 1, flat tops and bottoms at 3."""
_SPOT_DISTANCE_PX = 36.0
"""Mean distance of the first spots at full scale: nearer spots leave more minutiae."""


def grow_ridges(
    rng: np.random.Generator, theta: NDArray[np.float64], period: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Grow the ridges of a finger.

    Parameters
    ----------
    rng : places the first spots.
    theta : (H, W) float64
        Ridge direction, radians counter-clockwise from +x, y up.
    period : (H, W) float64
        Ridge distance in px. H and W even.

    Returns
    -------
    height : (H, W) float32
        Skin relief in [-1, 1], 1 on top of a ridge, about a sine wave across the ridges.

    Notes
    -----
    Grown at half scale, where a ridge is still more than three samples wide, and brought to full scale
    by padding the spectrum, which is exact for a wave this slow. The last round is therefore not
    squashed at half scale: the overtones of a squashed wave would alias into ragged edges.
    """
    half_theta, half_period = theta[::2, ::2], period[::2, ::2] / 2
    basis, mixtures = _bank(half_theta.shape)
    angle_index = np.round((half_theta % np.pi) * (_ANGLES / np.pi)).astype(np.int64) % _ANGLES
    shortest, longest = SHORTEST_PERIOD_PX / 2, LONGEST_PERIOD_PX / 2
    period_index = np.round((half_period - shortest) / (longest - shortest) * (_PERIODS - 1)).astype(np.int64)
    weights = mixtures[:, angle_index * _PERIODS + np.clip(period_index, 0, _PERIODS - 1)]
    # Two real results in one complex transform: the filters are even, their spectra real.
    paired_weights = weights[0::2] - 1j * weights[1::2]

    def filtered(image: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = np.fft.ifft2(np.fft.fft2(image) * basis)
        return np.asarray(np.einsum("kij,kij->ij", parts, paired_weights).real, dtype=np.float32)

    image = _spots(rng, half_theta.shape)
    for _ in range(_ROUNDS):
        image = np.tanh(_GAIN * filtered(image))
    return np.asarray(np.tanh(_SHARPNESS * _doubled(filtered(image))), dtype=np.float32)


def _spots(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A few bumps on an empty finger, one in each cell of a shaken grid."""
    image = np.zeros(shape, dtype=np.float32)
    step = _SPOT_DISTANCE_PX / 2
    for row in np.arange(step / 2, shape[0], step):
        for column in np.arange(step / 2, shape[1], step):
            shaken = np.array([row, column]) + rng.uniform(-0.5, 0.5, 2) * step
            y, x = np.clip(np.round(shaken).astype(int), 1, np.array(shape) - 2)
            image[y - 1 : y + 2, x - 1 : x + 2] = rng.uniform(0.3, 1.0)
    return image


def _doubled(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the samples in both directions by padding the spectrum with zeros."""
    rows, columns = image.shape
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    padded = np.pad(spectrum, ((rows // 2, rows // 2), (columns // 2, columns // 2)))
    doubled = np.fft.ifft2(np.fft.ifftshift(padded)).real * 4
    return doubled.astype(np.float32)


@functools.lru_cache(maxsize=2)
def _bank(shape: tuple[int, ...]) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """The few filters all others are mixed from, and the mixtures.

    Returns
    -------
    basis : (components / 2, H, W) complex64
        Spectra of two real filters each: the first plus i times the second.
    mixtures : (components, angles * periods) float32
        How much of each filter makes up the one for an angle and a period.
    """
    periods = np.linspace(SHORTEST_PERIOD_PX / 2, LONGEST_PERIOD_PX / 2, _PERIODS)
    radius = int(np.ceil(3 * _window(periods[-1])))
    row, column = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float64)
    filters = []
    for angle in np.arange(_ANGLES) * (np.pi / _ANGLES):
        # Across the ridge; rows grow downwards, so y is minus the row.
        across = -column * np.sin(angle) - row * np.cos(angle)
        for period in periods:
            window = np.exp(-(row**2 + column**2) / (2 * _window(period) ** 2))
            wave = np.cos(2 * np.pi * across / period) * window
            wave -= window * (wave.sum() / window.sum())
            filters.append((wave / np.abs(wave * np.cos(2 * np.pi * across / period)).sum()).ravel())
    # Gram and Schmidt's way, the filter least well mixed so far next. A singular value decomposition would
    # need a few components less, but its result depends on how many threads the linear algebra library
    # has, and then a seed would not give the same pixels everywhere.
    rest = np.stack(filters)
    components = np.empty((_COMPONENTS, rest.shape[1]))
    mixtures = np.empty((_COMPONENTS, rest.shape[0]))
    for number in range(_COMPONENTS):
        energy = (rest * rest).sum(axis=1)
        least_mixed = int(energy.argmax())
        components[number] = rest[least_mixed] / np.sqrt(energy[least_mixed])
        mixtures[number] = (rest * components[number]).sum(axis=1)
        rest -= mixtures[number][:, None] * components[number]
    side = 2 * radius + 1
    placed = np.zeros((_COMPONENTS, *shape))
    placed[:, :side, :side] = components.reshape(_COMPONENTS, side, side)
    spectra = np.fft.fft2(np.roll(placed, (-radius, -radius), axis=(1, 2))).real
    basis = spectra[0::2] + 1j * spectra[1::2]
    return basis.astype(np.complex64), mixtures.astype(np.float32)


def _window(period: float) -> float:
    """Standard deviation of the Gaussian window in px: it falls to a thousandth 1.5 periods from its middle."""
    return float(1.5 * period / np.sqrt(2 * np.log(1000)))
