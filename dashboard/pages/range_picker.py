"""The time range picker: presets, or a custom range in the viewer's zone. It is kept in the address (assets/tocsin.js)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard import i18n
from dashboard.time_ranges import RANGES, exact, range_of, wall
from dashboard.view import View

FAULTS = ("odd", "missing", "order", "short", "long", "future")
"""Errors of a custom range; the browser shows the texts of `fault_words`."""


def range_picker(view: View) -> Any:
    """The presets, and the fields of a custom range in the viewer's zone."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    chosen = range_of(view.range)
    free = chosen is not None and chosen.since is not None
    presets = dmc.SegmentedControl(
        id="range",
        data=[{"value": key, "label": words(f"range.{key}")} for key in RANGES],
        value="" if free else view.range,
        size="sm",
        **{"aria-label": words("range")},
    )
    moments = wall(chosen, datetime.now(UTC), view.tz) if free and chosen is not None else ("", "")
    fields = [
        dmc.TextInput(id=f"range-{name}", value=value, label=words(f"range.{name}"), size="xs", inputProps={"type": "datetime-local"})
        for name, value in zip(("from", "to"), moments, strict=True)
    ]
    message = words("range.fault.odd") if view.odd_range else ""
    button = dmc.Button(
        words("range.show"), id="range-show", size="xs", variant="default", n_clicks=0, **{"aria-label": words("range.show")}
    )
    zone = html.Div(i18n.text("range.zone", view.language, zone=view.zone), className="muted small")
    form = html.Div([html.Div([*fields, button], className="row start"), zone], className="form")
    details = html.Details([html.Summary(words("range.free")), form], id="range-free", open=free, className="free")
    return html.Div(
        [presets, details, html.Div(message, id="range-message", role="alert", className="small sentiment negative")],
        className="range-picker",
    )


def fault_words(view: View) -> dict[str, str]:
    """The error messages of a custom range."""
    return {name: i18n.text(f"range.fault.{name}", view.language) for name in FAULTS}


def range_words(view: View) -> str:
    """The display text of a range: "24 h", or start and end."""
    chosen = range_of(view.range)
    if chosen is None or chosen.since is None:
        return i18n.text(f"range.{view.range}", view.language)
    since, until = exact(chosen, chosen.since)
    return f"{i18n.when(since, view.tz, view.language)} – {i18n.when(until, view.tz, view.language)}"
