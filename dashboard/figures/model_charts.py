"""Charts of the page of models. Pure functions from values to plotly figures, like those in charts.py."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

import plotly.graph_objects as go

from core.series import series_name
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.charts import draw, local, message, time_axis
from dashboard.figures.palette import GLYPHS, PALETTES, lines_of
from dashboard.reads.drift import Months, Shift
from dashboard.services import Bins, MetricComparison, ModelChange
from dashboard.translations import LABELS
from dashboard.view import View
from stats.drift import expected_calibration_error
from stats.wilson import wilson_bounds
from storage.store import DailyPredictions

TOPICS = 12
"""Number of topics in the chart, those with the largest changes."""
VERDICTS = {"better": "▲", "worse": "▼", "same": "≈"}
_SYMBOLS = {"negative": "triangle-down", "neutral": "circle", "positive": "triangle-up"}
HALF_DAY = timedelta(hours=12)


def language_name(language: str, view: View) -> str:
    """The display name of a language of the news."""
    return i18n.text(f"lang.{language}", view.language) if f"lang.{language}" in LABELS else plain(language, 20)


def verdict(low: float, high: float) -> str:
    """ "better" or "worse" where the 95 % interval of a change leaves out 0, else "same"."""
    return "better" if low > 0 else "worse" if high < 0 else "same"


def reliability(after: Bins, before: Bins, live: Bins, view: View, *, name: str) -> go.Figure:
    """Reliability diagram of the test sets, before and after calibration, and of people's labels with 95 % intervals.

    A point is a bin; its size grows with its number of rows. A message where there are no rows.
    """
    if not any(n for bins in (after, before, live) for n, _, _ in bins):
        return message(i18n.text("models.no_bins", view.language), view.theme)
    colours = PALETTES[view.theme]
    traces: list[Any] = [
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"dash": "dot", "width": 1, "color": colours.muted},
            hoverinfo="skip",
            showlegend=False,
            uid="even",
        )
    ]
    kinds = (
        ("models.before_calibration", before, "circle-open", colours.muted),
        ("models.after_calibration", after, "circle", colours.positive),
        ("models.live", live, "diamond", colours.negative),
    )
    for key, bins, symbol, colour in kinds:
        rows = [row for row in bins if row[0]]
        if not rows:
            continue
        most = max(n for n, _, _ in rows)
        wide = [wilson_bounds(right, n) for n, _, right in rows]
        shares = [right / n for n, _, right in rows]
        error = expected_calibration_error(rows) or 0.0
        traces.append(
            go.Scatter(
                x=[round(sure / n, 4) for n, sure, _ in rows],
                y=[round(share, 4) for share in shares],
                customdata=[int(n) for n, _, _ in rows],
                name=f"{i18n.text(key, view.language)} (ECE {error:.3f})",
                uid=key.replace(".", "_"),
                mode="markers+lines" if key == "models.after_calibration" else "markers",
                marker={"symbol": symbol, "size": [6 + 10 * (n / most) ** 0.5 for n, _, _ in rows], "color": colour},
                line={"width": 1, "color": colour},
                error_y={
                    "type": "data",
                    "array": [high - share for (_, high), share in zip(wide, shares, strict=True)],
                    "arrayminus": [share - low for (low, _), share in zip(wide, shares, strict=True)],
                    "thickness": 1,
                    "width": 3,
                    "color": colour,
                }
                if key == "models.live"
                else None,
                hovertemplate="%{x:.0%} → %{y:.0%} · n = %{customdata}<extra></extra>",
            )
        )
    axis = {"range": [0, 1.02], "tickformat": ".0%", "dtick": 0.2}
    return draw(
        traces,
        view.theme,
        f"reliability {name}",
        hovermode="closest",
        xaxis={**axis, "range": [0.3, 1.02], "title": {"text": i18n.text("models.sure", view.language)}},
        yaxis={**axis, "title": {"text": i18n.text("models.right", view.language)}},
    )


def _changes(moves: Sequence[ModelChange], split: Months, view: View) -> dict[str, Any]:
    """The shading of the last month, and a labelled line for each change of champion."""
    colours = PALETTES[view.theme]
    base = {"type": "line", "xref": "x", "yref": "paper", "y0": 0, "y1": 1}
    middle = local(split.middle, view.tz)
    shapes: list[dict[str, Any]] = [
        {
            "type": "rect",
            "xref": "x",
            "yref": "paper",
            "x0": middle,
            "x1": local(split.until, view.tz),
            "y0": 0,
            "y1": 1,
            "fillcolor": colours.band,
            "line": {"width": 0},
            "layer": "below",
        }
    ]
    notes = []
    for move in moves:
        if move.did != "keep" and split.since <= move.when < split.until:
            x = local(move.when, view.tz)
            shapes.append({**base, "x0": x, "x1": x, "line": {"dash": "dash", "width": 1, "color": colours.muted}})
            name = {"text": escape("⚑ " + plain(move.version, 40)), "font": {"size": 11, "color": colours.muted}}
            notes.append({**name, "x": x, "y": 1, "xref": "x", "yref": "paper", "xanchor": "left", "yanchor": "top", "showarrow": False})
    return {"shapes": shapes, "annotations": notes}


def sentiment_days(days: Sequence[DailyPredictions], split: Months, moves: Sequence[ModelChange], view: View) -> go.Figure:
    """Sentiment shares by UTC day over two months; the last month is shaded, dashed lines mark changes of champion."""
    if not days:
        return message(i18n.text("models.no_news", view.language), view.theme)
    colours = PALETTES[view.theme]
    counts: defaultdict[datetime, list[int]] = defaultdict(lambda: [0, 0, 0])
    for each in days:
        for place, value in enumerate((each.negative, each.neutral, each.positive)):
            counts[each.day][place] += value
    starts = sorted(counts)
    painted = {"negative": colours.negative, "neutral": colours.muted, "positive": colours.positive}
    traces = [
        go.Scatter(
            x=[local(day + HALF_DAY, view.tz) for day in starts],
            y=[round(counts[day][place] / sum(counts[day]), 4) for day in starts],
            customdata=[sum(counts[day]) for day in starts],
            name=f"{GLYPHS[name]} {i18n.text('sentiment.' + name, view.language)}",
            uid=name,
            mode="lines+markers",
            line={"color": colour, "width": 2},
            marker={"symbol": _SYMBOLS[name], "size": 6, "color": colour},
            hovertemplate="%{y:.0%} · n = %{customdata:,}",
        )
        for place, (name, colour) in enumerate(painted.items())
    ]
    return draw(
        traces,
        view.theme,
        f"sentiments {view.zone}",
        xaxis=time_axis(split.since, split.until, view.tz, view.language),
        yaxis={"rangemode": "tozero", "tickformat": ".0%"},
        **_changes(moves, split, view),
    )


def confidence_days(
    days: Sequence[DailyPredictions], split: Months, moves: Sequence[ModelChange], names: Sequence[str], view: View
) -> go.Figure:
    """Mean confidence by UTC day, one line for each language in `names`."""
    if not days:
        return message(i18n.text("models.no_news", view.language), view.theme)
    styles = list(lines_of(names, view.theme).values())
    traces: list[Any] = []
    for name, (colour, symbol) in zip(names, styles, strict=True):
        own = [each for each in days if each.language == name]
        traces.append(
            go.Scatter(
                x=[local(each.day + HALF_DAY, view.tz) for each in own],
                y=[round(each.confidence / each.articles, 4) for each in own],
                customdata=[each.articles for each in own],
                name=language_name(name, view),
                uid=f"language_{len(traces)}",
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"symbol": symbol, "size": 6, "color": colour},
                hovertemplate="%{y:.1%} · n = %{customdata:,}",
            )
        )
    return draw(
        traces,
        view.theme,
        f"confidence {view.zone}",
        xaxis=time_axis(split.since, split.until, view.tz, view.language),
        yaxis={"tickformat": ".0%"},
        **_changes(moves, split, view),
    )


def topic_shift(found: Shift, view: View) -> go.Figure:
    """Topic shares in the previous month (hollow) and in the last one (filled), largest changes on top."""
    totals = (sum(found.before.values()), sum(found.now.values()))
    if not all(totals):
        return message(i18n.text("models.no_news", view.language), view.theme)
    shares = {key: (found.before.get(key, 0) / totals[0], found.now.get(key, 0) / totals[1]) for key in {*found.before, *found.now}}
    keys = sorted(shares, key=lambda key: (-abs(shares[key][1] - shares[key][0]), key))[:TOPICS]
    names = {key: series_name(f"topic:{key}", view.language) for key in keys}
    rows = [(names[key], *shares[key], "") for key in keys]
    return _dumbbells(rows, view, "topics", (i18n.text("models.month_before", view.language), i18n.text("models.month", view.language)))


def contest(figures: Sequence[MetricComparison], names: tuple[str, str], view: View) -> go.Figure:
    """A metric of two versions by test and group; significant differences are marked by colour and glyph."""
    if not figures:
        return message(i18n.text("models.no_contest", view.language), view.theme)
    rows = []
    for each in figures:
        label = f"{test_name(each.test, view)} · {group_name(each.group, view)}"
        rows.append((label, each.before, each.now, verdict(each.low, each.high)))
    return _dumbbells(rows, view, "contest", names)


def test_name(test: str, view: View) -> str:
    """The display name of a frozen test, such as "clear cases: sentiment"; of a file its name."""
    kind, _, task = test.partition(": ")
    keys = (f"models.test_kind.{kind.replace(' ', '_')}", f"models.task.{task}")
    if not all(key in LABELS for key in keys):
        return plain(test, 40)
    return i18n.joined((i18n.text(key, view.language) for key in keys), view.language)


def group_name(group: str, view: View) -> str:
    """The display name of "all", "language zh" or "class negative"."""
    kind, _, key = group.partition(" ")
    if kind == "language" and key:
        return language_name(key, view)
    if kind == "class" and key in GLYPHS:
        return f"{GLYPHS[key]} {i18n.text('sentiment.' + key, view.language)}"
    return i18n.text("models.all", view.language) if group == "all" else plain(key or group, 40)


def metric_name(metric: str, view: View) -> str:
    """The display name of a metric."""
    known: Mapping[str, str] = {"macro_f1": "macro F1", "micro_f1": "micro F1", "ece": "ECE"}
    return i18n.text("models.accuracy", view.language) if metric == "accuracy" else known.get(metric, plain(metric, 30))


def _dumbbells(rows: Sequence[tuple[str, float, float, str]], view: View, name: str, legend: tuple[str, str]) -> go.Figure:
    """A dumbbell for each row (label, before, now, verdict), first row on top: hollow dot before, filled dot now."""
    colours = PALETTES[view.theme]
    painted = {"better": colours.positive, "worse": colours.negative}
    turned = list(reversed(rows))
    values = [value for row in rows for value in row[1:3]]
    spread = max(values) - min(values)
    labels = [escape(f"{VERDICTS.get(outcome, '')} {label}".strip()) for label, _, _, outcome in turned]
    traces: list[Any] = [
        go.Scatter(
            x=[before, now],
            y=[label, label],
            mode="lines",
            line={"width": 3, "color": painted.get(outcome, colours.other)},
            hoverinfo="skip",
            showlegend=False,
            uid=f"line_{place}",
        )
        for place, (label, (_, before, now, outcome)) in enumerate(zip(labels, turned, strict=True))
    ]
    dots = ((legend[0], 1, {"symbol": "circle-open", "size": 10, "color": colours.muted}), (legend[1], 2, {"symbol": "circle", "size": 10}))
    for place, (legend_name, side, marker) in enumerate(dots):
        fill = {} if side == 1 else {"color": [painted.get(row[3], colours.text) for row in turned]}
        traces.append(
            go.Scatter(
                x=[round(float(row[side]), 4) for row in turned],
                y=labels,
                name=escape(plain(legend_name, 60)),
                uid=f"dots_{place}",
                mode="markers",
                marker={**marker, **fill},
                showlegend=False,
                hovertemplate="%{x:.1%}",
            )
        )
        key = {
            **marker,
            "color": colours.muted if side == 1 else colours.text,
        }  # a legend would take the colour of the first dot, which has a meaning
        traces.append(go.Scatter(x=[None], y=[None], name=escape(plain(legend_name, 60)), mode="markers", marker=key, hoverinfo="skip"))
    return draw(
        traces,
        view.theme,
        f"{name} {len(rows)}",
        hovermode="y unified",
        xaxis={"tickformat": ".0%" if spread > 0.1 else ".1%"},
        yaxis={"showgrid": False, "fixedrange": True, "type": "category"},
    )
