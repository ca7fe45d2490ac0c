"""Charts as inline SVG. The style sheet of the page sets the colours, so that one drawing suits light and dark screens."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

WIDTH, HEIGHT = 380, 260
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 8, 40
COLOURS = 8  # classes c0 to c7 of the style sheet
TICKS = 6
DOUBLINGS = 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256  # possible ticks of a logarithmic axis


Position = Callable[[float], float]


class Series(NamedTuple):
    name: str
    points: Sequence[tuple[float, float]]  # in drawing order; a NaN interrupts the line
    labels: Sequence[str] = ()  # of the points, shown under the mouse pointer
    dashed: bool = False
    line: bool = True
    marks: bool = False


def chart(series: Sequence[Series], x_label: str, y_label: str, log_x: bool = False) -> Markup:
    """A chart with a legend; empty if there is nothing to draw.

    Args:
        series: their places decide their colours.
        log_x: logarithmic axis; x must be positive.
    """
    known = [(x, y) for one in series for x, y in one.points if math.isfinite(x) and math.isfinite(y)]
    if not known:
        return Markup("")
    (x_ticks, x_at), (y_ticks, y_at) = (
        _axis([x for x, _ in known], LEFT, WIDTH - RIGHT, log_x),
        _axis([y for _, y in known], HEIGHT - BOTTOM, TOP),
    )
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{y_label} by {x_label}")}">'
    ]
    for tick in y_ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y_at(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y_at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        parts.append(f'<path class="grid" d="M{x_at(tick):.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x_at(tick):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{tick:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text class="axis" transform="translate(11 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for place, one in enumerate(series):
        parts += _drawn(one, f"c{place % COLOURS}", x_at, y_at)
    return Markup("".join([*parts, "</svg>"])) + _legend(series)


def _drawn(series: Series, colour: str, x_at: Position, y_at: Position) -> list[str]:
    parts: list[str] = []
    steps, pen = [], "M"
    for x, y in series.points:
        if math.isfinite(x) and math.isfinite(y):
            steps.append(f"{pen}{x_at(x):.1f} {y_at(y):.1f}")
            pen = "L"
        else:
            pen = "M"
    if series.line:
        parts.append(f'<path class="line {colour}{" dashed" if series.dashed else ""}" d="{"".join(steps)}"/>')
    if series.marks:
        labels = series.labels or [""] * len(series.points)
        for (x, y), label in zip(series.points, labels, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                title = escape(f"{label or series.name}: {x:.4g}, {y:.4g}")
                parts.append(
                    f'<circle class="{colour}" cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3.5"><title>{title}</title></circle>'
                )
    return parts


def _legend(series: Sequence[Series]) -> Markup:
    if len(series) < 2:
        return Markup("")
    items = Markup("").join(
        Markup('<span><i class="{}{}"></i>{}</span>').format(
            f"c{place % COLOURS}", " dashed" if one.dashed else "", one.name
        )
        for place, one in enumerate(series)
    )
    return Markup('<p class="legend">{}</p>').format(items)


def _axis(
    values: Sequence[float], start: float, end: float, logarithmic: bool = False
) -> tuple[Sequence[float], Position]:
    """Ticks for values, and the function from a value to its position between `start` and `end`."""
    least, most = min(values), max(values)
    if logarithmic:
        low, high = math.log2(least) - 0.15, math.log2(most) + 0.15
        ticks = [tick for tick in DOUBLINGS if low <= math.log2(tick) <= high]
        return ticks, lambda value: start + (math.log2(value) - low) / (high - low) * (end - start)
    if least == most:
        least, most = least - 0.5, most + 0.5
    rough = (most - least) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(least / step + 1e-9), math.ceil(most / step - 1e-9)
    ticks = [round(number * step, 12) for number in range(first, last + 1)]
    return ticks, lambda value: start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start)
