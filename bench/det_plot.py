"""Detection error trade-off as a picture: false matches against false non-matches, both logarithmic."""

import math
from collections.abc import Mapping

from bench.rates import Curve

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 760, 520, 70, 60, 30, 230
_X = (-5.0, 0.0)
_Y = (-3.3, 0.0)
_COLOURS = ("#0b5fa5", "#c0392b", "#218c53", "#8e44ad", "#d68910", "#5d6d7e", "#117a65", "#7b241c")


def det_plot(curves: Mapping[str, Curve], title: str) -> str:
    """An SVG with one line per curve."""
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{title}</text>',
    ]
    for power in range(int(_X[0]), 1):
        x = _x(10.0**power)
        body.append(f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="#ddd"/>')
        body.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{100 * 10.0**power:g} %</text>'
        )
    for share in (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        y = _y(share)
        body.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        body.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{100 * share:g} %</text>')
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    body.append(f'<text x="{middle}" y="{_HEIGHT - 20}" text-anchor="middle">false match rate</text>')
    body.append(
        f'<text x="18" y="{_HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 18 {_HEIGHT / 2})">'
        "false non-match rate</text>"
    )
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        body.append(f'<path d="{_steps(curve)}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        y = _TOP + 20 + 20 * number
        body.append(f'<path d="M{_WIDTH - _RIGHT + 12} {y - 4}h22" stroke="{colour}" stroke-width="3"/>')
        body.append(f'<text x="{_WIDTH - _RIGHT + 40}" y="{y}">{name}</text>')
    body.append("</svg>\n")
    return "\n".join(body)


def _x(rate: float) -> float:
    return _LEFT + (math.log10(max(rate, 1e-9)) - _X[0]) / (_X[1] - _X[0]) * (_WIDTH - _RIGHT - _LEFT)


def _y(rate: float) -> float:
    return _HEIGHT - _BOTTOM - (math.log10(max(rate, 1e-9)) - _Y[0]) / (_Y[1] - _Y[0]) * (_HEIGHT - _BOTTOM - _TOP)


def _steps(curve: Curve) -> str:
    """The path of a curve, thinned to what a picture can show, inside the frame."""
    points: list[str] = []
    last = (-9.0, -9.0)
    for rate, missed in zip(curve.false_match, curve.false_non_match, strict=True):
        x, y = _x(max(rate, 10 ** _X[0])), _y(max(missed, 10 ** _Y[0]))
        if abs(x - last[0]) + abs(y - last[1]) > 0.5:
            points.append(f"{x:.1f} {y:.1f}")
            last = (x, y)
    return "M" + "L".join(points)
