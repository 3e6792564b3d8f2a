"""A range in figures: how many stories, how negative, and more or less than before."""

from __future__ import annotations

from typing import Any

from dash import html

from dashboard import i18n
from dashboard.view import View
from spine.store import SeriesTotal


def tile(label: str, value: str, note: str) -> Any:
    """One figure with its name and what to compare it with."""
    return html.Div(
        [html.Div(label, className="muted"), html.Div(value, className="value"), html.Div(note, className="muted small")], className="kpi"
    )


def tiles(total: SeriesTotal | None, before: SeriesTotal | None, view: View) -> list[Any]:
    """Stories, negative share and mean tone of a series over a range, with the period before."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    share = total.negative / total.stories if total and total.stories else None
    more = less = words("kpi.nothing_before")
    if total and before and before.stories:
        more = words("kpi.before", change=f"{total.stories / before.stories - 1:+.0%}".replace("-", "−"))
        points = 100 * ((share or 0.0) - before.negative / before.stories)
        less = words("kpi.before", change=f"{points:+.1f} {words('points')}".replace("-", "−"))
    return [
        tile(words("kpi.stories"), f"{total.stories if total else 0:,}", more),
        tile(words("kpi.negative"), "–" if share is None else f"{share:.0%}", less),
        tile(words("kpi.tone"), f"{total.tone:+.2f}".replace("-", "−") if total else "–", words("kpi.tone_scale")),
    ]
