"""Colours and glyphs. Every colour comes with a glyph, so that the page can be read without colours.

Blue and vermillion can be distinguished with all common kinds of colour blindness, and neither is red or green, which mean opposite
directions in different countries. Lines: Okabe and Ito (2008), "Color Universal Design".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.taxonomy import TOPIC_KEYS
from dashboard.view import Theme, View
from domain.alert_lifecycle import State

GLYPHS = {"negative": "▼", "neutral": "●", "positive": "▲"}
SEVERITY_GLYPHS = {"info": "!", "warning": "!!", "critical": "!!!"}
STATE_GLYPHS: dict[State, str] = {"pending": "○", "firing": "●", "acknowledged": "◐", "resolved": "✓"}
SOURCE_GLYPHS = {"ok": "✓", "late": "◔", "silent": "∅", "failing": "✕", "new": "○", "past": "–"}
PROCESS_GLYPHS = {"ready": "✓", "starting": "◔", "ended": "–", "gone": "✕"}

_LINES = {
    "light": ("#0072B2", "#D55E00", "#009E73", "#B3589A", "#B07A00", "#2F9BD6", "#59636E", "#8C3B1B"),
    "dark": ("#4BA3DB", "#F28A45", "#2FC79A", "#DB93C4", "#E8B64A", "#8CCBF2", "#A9B4C0", "#C98A6B"),
}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "hexagon")


class Palette(NamedTuple):
    """The chart colours of one theme."""

    text: str
    muted: str
    grid: str
    negative: str
    positive: str
    other: str
    middle: str
    shade: str
    hover: str
    band: str


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        "#1f2933",
        "#616e7c",
        "#e4e7eb",
        "#D55E00",
        "#0072B2",
        "#b8c4d0",
        "#f3f4f6",
        "rgba(213,94,0,0.13)",
        "#ffffff",
        "rgba(0,114,178,0.14)",
    ),
    "dark": Palette(
        "#e4e7eb",
        "#9aa5b1",
        "#333b45",
        "#F28A45",
        "#4BA3DB",
        "#52606d",
        "#2a313a",
        "rgba(242,138,69,0.18)",
        "#1f262e",
        "rgba(75,163,219,0.20)",
    ),
}

_RED_UP: dict[Theme, dict[str, str]] = {
    "light": {"negative": "#00785A", "positive": "#C8102E", "shade": "rgba(0,120,90,0.13)", "band": "rgba(200,16,46,0.10)"},
    "dark": {"negative": "#3CC79B", "positive": "#FF7B7B", "shade": "rgba(60,199,155,0.16)", "band": "rgba(255,123,123,0.16)"},
}
"""Positive news red and negative news green, as in Chinese markets. Not the default, as red and green are hard to distinguish for some."""


def palette_of(view: View) -> Palette:
    """The palette of the viewer's theme and colour option."""
    palette = PALETTES[view.theme]
    return palette._replace(**_RED_UP[view.theme]) if view.colours == "red-up" else palette


def lines_of(topics: Sequence[str], theme: Theme) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each topic's line, distinct for up to 8 topics.

    A topic keeps its colour whatever its rank in the chart; in a conflict the later one in the taxonomy takes the next free colour.
    """
    colours = _LINES[theme]
    taken: dict[str, int] = {}
    for topic in sorted(topics, key=lambda key: (_place(key), key)):
        wanted = _place(topic) % len(colours)
        free = [(wanted + step) % len(colours) for step in range(len(colours)) if (wanted + step) % len(colours) not in taken.values()]
        taken[topic] = free[0] if free else wanted
    return {topic: (colours[taken[topic]], _SYMBOLS[taken[topic]]) for topic in topics}


def _place(topic: str) -> int:
    return TOPIC_KEYS.index(topic) if topic in TOPIC_KEYS else len(TOPIC_KEYS)
