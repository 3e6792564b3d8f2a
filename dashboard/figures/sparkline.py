"""Sparklines for table rows: counts as bars, the baseline as a line. SVG images without text or script."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from dashboard.figures.palette import PALETTES
from dashboard.view import Theme

BAR, STEP, HEIGHT = 4, 5, 24


def sparkline(counts: Sequence[int], usual: Sequence[float], theme: Theme) -> str:
    """A data URL of an SVG image: a bar for each count, and a dashed line through `usual`, which has the same length or is empty."""
    colours = PALETTES[theme]
    top = max([1.0, *counts, *usual])
    width = STEP * len(counts)
    bars = [_bar(place, count, top, colours.positive) for place, count in enumerate(counts) if count]
    line = " ".join(f"{place * STEP + BAR / 2:.1f},{HEIGHT - 1 - (HEIGHT - 2) * mean / top:.1f}" for place, mean in enumerate(usual))
    dashes = f'<polyline points="{line}" fill="none" stroke="{colours.text}" stroke-width="1" stroke-dasharray="3 2"/>' if usual else ""
    ground = f'<path d="M0 {HEIGHT - 0.5}H{width}" stroke="{colours.grid}"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT}">{ground}{"".join(bars)}{dashes}</svg>'
    return f"data:image/svg+xml,{quote(svg)}"


def _bar(place: int, count: int, top: float, colour: str) -> str:
    height = max(1.0, (HEIGHT - 2) * count / top)
    return f'<rect x="{place * STEP}" y="{HEIGHT - 1 - height:.1f}" width="{BAR}" height="{height:.1f}" fill="{colour}"/>'
