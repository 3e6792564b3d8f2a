"""Charts of news: pure functions from values to plotly figures.

Every figure keeps the viewer's zoom over a refresh: `uirevision` changes with the selection, not with the data.
Times are in the viewer's zone. Texts are escaped, as plotly interprets some HTML.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from html import escape
from typing import Any
from urllib.parse import quote

import plotly.graph_objects as go

from core.records import Alert
from core.series import MARKET, key_of, series_name
from dashboard import i18n, measures
from dashboard.figures.palette import PALETTES, lines_of, palette_of
from dashboard.reads.usual import Usual
from dashboard.view import Theme, View
from storage.store import SentimentPoint, WindowCount

FONT = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Micro Hei", sans-serif'
)


def local(moment: datetime, tz: tzinfo) -> str:
    """The wall clock time in the viewer's zone: plotly does not support time zones."""
    return moment.astimezone(tz).replace(tzinfo=None).isoformat()


def middle(point: SentimentPoint, width_s: int) -> datetime:
    """The middle of a window, where the point of a line is drawn."""
    return point.start + timedelta(seconds=width_s / 2)


def _uid(name: str) -> str:
    """The identity of a trace over refreshes. plotly makes a CSS selector of it, in which a colon is an error."""
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def draw(traces: Sequence[Any], theme: Theme, uirevision: str, **layout: Any) -> go.Figure:
    """A figure of these traces in the theme's colours. layout: overrides of the default layout; axes are merged with the defaults"""
    colours = PALETTES[theme]
    axis = {"gridcolor": colours.grid, "linecolor": colours.grid, "zeroline": False, "fixedrange": False, "automargin": True}
    base: dict[str, Any] = {
        "template": go.layout.Template(),
        "font": {"family": FONT, "size": 12, "color": colours.text},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "hovermode": "x unified",
        "hoverlabel": {"bgcolor": colours.hover, "bordercolor": colours.grid, "font": {"family": FONT, "color": colours.text}},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "xanchor": "left",
            "yanchor": "bottom",
            "traceorder": "normal",
            "font": {"color": colours.text},
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": colours.muted, "activecolor": colours.text},
        "uirevision": uirevision,
        "xaxis": axis,
        "yaxis": axis,
    }
    for name in ("xaxis", "yaxis"):
        base[name] = {**axis, **layout.pop(name, {})}
    return go.Figure(list(traces), {**base, **layout})


def time_axis(since: datetime, until: datetime, tz: tzinfo, language: str) -> dict[str, Any]:
    """A time axis from `since` to `until` in the viewer's zone."""
    stops: list[tuple[int | None, int | None, str]] = [
        (None, 60_000, "%H:%M:%S"),
        (60_000, 86_400_000, "%H:%M\n%-m-%-d" if language == "zh" else "%H:%M\n%-d %b"),
    ]
    stops.append((86_400_000, None, "%-m-%-d" if language == "zh" else "%-d %b"))
    return {
        "type": "date",
        "range": [local(since, tz), local(until, tz)],
        "tickformatstops": [{"dtickrange": [low, high], "value": value} for low, high, value in stops],
        "hoverformat": "%Y-%m-%d %H:%M",
    }


def message(words: str, theme: Theme) -> go.Figure:
    """An empty chart with a message."""
    note = {"text": escape(words), "showarrow": False, "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5}
    hidden = {"visible": False, "fixedrange": True}
    colour = {"font": {"color": PALETTES[theme].muted, "size": 14}}
    return draw([], theme, "message", annotations=[{**note, **colour}], xaxis=hidden, yaxis=hidden)


def mood(
    points: Sequence[SentimentPoint],
    topics: Sequence[str],
    alerts: Sequence[Alert],
    bounds: tuple[datetime, datetime, int],
    view: View,
    names: Mapping[str, str] | None = None,
) -> go.Figure:
    """Mean tone over time, one line for each series, with alerts as markers on top. A message where there are no points.

    Args:
        topics: Keys of the series of the view's kind, in the order of the legend.
        bounds: (since, until, width of a window in seconds).
        names: Names of companies that this process does not know.
    """
    since, until, width_s = bounds
    series = {f"{view.kind}:{key}": key for key in topics}
    drawn = [point for point in points if point.series in series]
    if not drawn:
        return message(i18n.text("empty", view.language), view.theme)
    limit = min(1.0, max(0.5, max(abs(point.tone) for point in drawn) * 1.15))
    stories = i18n.text("stories", view.language)
    lines = lines_of(topics, view.theme)
    traces: list[Any] = []
    for name, key in series.items():
        own = [point for point in drawn if point.series == name]
        colour, symbol = lines[key]
        traces.append(
            go.Scatter(
                x=[local(middle(point, width_s), view.tz) for point in own],
                y=[round(point.tone, 4) for point in own],
                customdata=[point.stories for point in own],
                name=escape(_name_of(name, names, view)),
                uid=_uid(key),
                mode="lines+markers",
                line={"color": colour, "width": 2},
                marker={"size": 6, "color": colour, "symbol": symbol},
                hovertemplate="%{y:+.2f} · %{customdata} " + stories,
            )
        )
    raised = [alert for alert in alerts if alert.series in series and since <= alert.window_start < until]
    if raised:
        traces.append(_alert_markers(raised, limit, view))
    colours = palette_of(view)
    return draw(
        traces,
        view.theme,
        f"mood {view.range} {view.zone} {view.kind} {','.join(view.topics)}",
        showlegend=True,  # also for a single line, to name its series
        xaxis=time_axis(since, until, view.tz, view.language),
        yaxis={"range": [-limit, limit], "tickformat": "+.1f"},
        shapes=[{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": {"color": colours.muted, "width": 1}}],
    )


def _name_of(series: str, names: Mapping[str, str] | None, view: View) -> str:
    """The name of a series; for a company whose name this process does not know, the one in `names`."""
    known = series_name(series, view.language)
    return (names or {}).get(series, known) if known == key_of(series) else known


def _alert_markers(alerts: Sequence[Alert], height: float, view: View) -> Any:
    colours = palette_of(view)
    counts = [measures.words(alert, view.language).counts for alert in alerts]
    return go.Scatter(
        x=[local(alert.window_start + timedelta(seconds=alert.window_s / 2), view.tz) for alert in alerts],
        y=[height * 0.94] * len(alerts),
        text=[
            escape(i18n.labelled(series_name(alert.series, view.language), words, view.language))
            for alert, words in zip(alerts, counts, strict=True)
        ],
        name=i18n.text("alert", view.language),
        uid="alerts",
        mode="markers",
        marker={"symbol": "triangle-down", "size": 12, "color": colours.negative, "line": {"color": colours.text, "width": 1}},
        hovertemplate="%{text}",
    )


def heat(
    points: Sequence[SentimentPoint],
    topics: Sequence[str],
    bounds: tuple[datetime, datetime, int],
    view: View,
    names: Mapping[str, str] | None = None,
) -> go.Figure:
    """Heat map of mean tone by series and window; windows without articles are empty.

    Args:
        topics: Keys of the series of the view's kind, from top to bottom.
        bounds: (since, until, width of a window in seconds).
        names: Names of companies that this process does not know.
    """
    since, until, width_s = bounds
    rows = list(reversed(topics))
    windows = int((until - since).total_seconds()) // width_s
    starts = [since + timedelta(seconds=index * width_s) for index in range(windows)]
    cells = {(key_of(point.series), point.start): point for point in points if point.series != MARKET}
    found = [[cells.get((key, start)) for start in starts] for key in rows]
    if not any(cell for row in found for cell in row):
        return message(i18n.text("empty", view.language), view.theme)
    colours = palette_of(view)
    trace = go.Heatmap(
        x=[local(start + timedelta(seconds=width_s / 2), view.tz) for start in starts],
        y=_distinct([escape(_name_of(f"{view.kind}:{key}", names, view)) for key in rows]),
        z=[[None if cell is None else round(cell.tone, 4) for cell in row] for row in found],
        customdata=[[0 if cell is None else cell.stories for cell in row] for row in found],
        zmin=-0.8,
        zmax=0.8,
        colorscale=[[0, colours.negative], [0.5, colours.middle], [1, colours.positive]],
        ygap=2,
        hoverongaps=False,
        hovertemplate="%{y}<br>%{x}<br>%{z:+.2f} · %{customdata} " + i18n.text("stories", view.language) + "<extra></extra>",
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "tickvals": [-0.8, 0, 0.8],
            "ticktext": ["▼ −0.8", "● 0", "▲ +0.8"],
            "len": 0.9,
        },
    )
    return draw(
        [trace],
        view.theme,
        f"heat {view.range} {view.zone} {view.kind}",
        hovermode="closest",
        margin={"l": 8, "r": 8, "t": 30, "b": 8},
        xaxis={**time_axis(since, until, view.tz, view.language), "showgrid": False},
        yaxis={"showgrid": False, "fixedrange": True},
    )


def _distinct(labels: Sequence[str]) -> list[str]:
    """The labels made unique: plotly merges rows with the same label."""
    seen: dict[str, int] = {}
    found = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        found.append(label if seen[label] == 1 else f"{label} ({seen[label]})")
    return found


def volume(points: Sequence[SentimentPoint], bounds: tuple[datetime, datetime, int], view: View, series: str = MARKET) -> go.Figure:
    """Distinct stories of a series per window, stacked by negative and other, and the negative share on a second axis."""
    since, until, width_s = bounds
    own = [point for point in points if point.series == series]
    if not own:
        return message(i18n.text("empty", view.language), view.theme)
    colours = palette_of(view)
    x = [local(middle(point, width_s), view.tz) for point in own]
    bars: Mapping[str, tuple[str, list[int]]] = {
        "volume.negative": (colours.negative, [point.negative for point in own]),
        "volume.other": (colours.other, [point.stories - point.negative for point in own]),
    }
    traces: list[Any] = [
        go.Bar(x=x, y=counts, name=i18n.text(label, view.language), marker={"color": colour}, width=width_s * 900, uid=_uid(label))
        for label, (colour, counts) in bars.items()
    ]
    traces.append(
        go.Scatter(
            x=x,
            y=[point.negative / point.stories if point.stories else None for point in own],
            name=i18n.text("volume.share", view.language),
            uid="share",
            yaxis="y2",
            mode="lines",
            line={"color": colours.text, "width": 1.5, "dash": "dot"},
            hovertemplate="%{y:.0%}",
        )
    )
    return draw(
        traces,
        view.theme,
        f"volume {series} {view.range} {view.zone}",
        barmode="stack",
        xaxis=time_axis(since, until, view.tz, view.language),
        yaxis={"rangemode": "tozero", "tickformat": ",d"},
        yaxis2={
            "overlaying": "y",
            "side": "right",
            "range": [0, 1],
            "tickmode": "array",
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "tickformat": ".0%",
            "showgrid": False,
            "fixedrange": True,
            "automargin": True,
        },
    )


def trend(
    series: str,
    negative: Sequence[int],
    usual: Sequence[Usual],
    alerts: Sequence[Alert],
    bounds: tuple[datetime, datetime, int],
    view: View,
) -> go.Figure:
    """Negative stories of a series per window, the band of the baseline, and alerts as markers on top. A message where there is nothing.

    Args:
        negative: Counts of each window of `bounds`.
        usual: The baseline of each window; [] where there is none.
    """
    since, until, width_s = bounds
    raised = [alert for alert in alerts if since <= alert.window_start < until]
    if not (any(negative) or raised or any(item.high for item in usual)):
        return message(i18n.text("empty", view.language), view.theme)
    colours = palette_of(view)
    x = [local(since + timedelta(seconds=(n + 0.5) * width_s), view.tz) for n in range(len(negative))]
    edge: dict[str, Any] = {"mode": "lines", "line": {"width": 0, "shape": "hvh"}, "hoverinfo": "skip"}
    traces: list[Any] = []
    if usual:
        mean, high = i18n.text("series.usual", view.language), i18n.text("series.band", view.language)
        traces += [
            go.Scatter(x=x, y=[round(item.low, 3) for item in usual], uid="low", showlegend=False, **edge),
            go.Scatter(
                x=x, y=[round(item.high, 3) for item in usual], uid="high", name=high, fill="tonexty", fillcolor=colours.band, **edge
            ),
            go.Scatter(
                x=x,
                y=[round(item.mean, 3) for item in usual],
                name=mean,
                uid="usual",
                mode="lines",
                line={"color": colours.positive, "width": 1.5, "dash": "dash", "shape": "hvh"},
                hovertemplate="%{y:.1f}",
            ),
        ]
    label = i18n.text("volume.negative", view.language)
    traces.append(go.Bar(x=x, y=list(negative), name=label, uid="negative", marker={"color": colours.negative}, width=width_s * 900))
    top = 1.15 * max([1.0, *negative, *(item.high for item in usual)])
    if raised:
        traces.append(_alert_markers(raised, top, view))
    return draw(
        traces,
        view.theme,
        f"trend {series} {view.range} {view.zone}",
        xaxis=time_axis(since, until, view.tz, view.language),
        yaxis={"range": [0, top], "tickformat": ",~g"},
    )


def around(counts: Sequence[WindowCount], alert: Alert, bounds: tuple[datetime, datetime], view: View) -> go.Figure:
    """Stories of a series per window around the window of an alert, which is shaded; for the spike detector with the expected count."""
    since, until = bounds
    colours = palette_of(view)
    half = timedelta(seconds=alert.window_s / 2)
    x = [local(count.start + half, view.tz) for count in counts]
    end = alert.window_start + 2 * half
    window = {"x0": local(alert.window_start, view.tz), "x1": local(end, view.tz)}
    parts: Mapping[str, tuple[str, list[int]]] = {
        "volume.negative": (colours.negative, [count.negative for count in counts]),
        "volume.other": (colours.other, [count.total - count.negative for count in counts]),
    }
    traces: list[Any] = [
        go.Bar(x=x, y=y, name=i18n.text(label, view.language), marker={"color": colour}, width=alert.window_s * 900, uid=_uid(label))
        for label, (colour, y) in parts.items()
    ]
    if alert.measure == "surprise":
        traces.append(
            go.Scatter(
                x=[local(since, view.tz), local(until, view.tz)],
                y=[alert.expected] * 2,
                name=i18n.text("alert.expected_line", view.language, n=i18n.decimal(alert.expected)),
                uid="expected",
                mode="lines",
                line={"color": colours.positive, "dash": "dash", "width": 2},
                hoverinfo="skip",
            )
        )
    return draw(
        traces,
        view.theme,
        f"around {alert.id} {view.zone}",
        barmode="stack",
        xaxis=time_axis(since, until, view.tz, view.language),
        yaxis={"rangemode": "tozero", "tickformat": ",~g"},
        shapes=[
            {
                "type": "rect",
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "fillcolor": colours.shade,
                "line": {"width": 0},
                "layer": "below",
                **window,
            }
        ],
    )


def rates(stored: Sequence[int], bounds: tuple[datetime, datetime, int], now: datetime, view: View) -> go.Figure:
    """Articles per minute in each window of `bounds` (since, until, width in seconds); the last window counts up to `now`."""
    since, until, width_s = bounds
    if not any(stored):
        return message(i18n.text("system.throughput.none", view.language), view.theme)
    lengths = [min(float(width_s), (now - since).total_seconds() - n * width_s) for n in range(len(stored))]
    per_minute = [60 * count / max(60.0, length_s) for count, length_s in zip(stored, lengths, strict=True)]
    bars = go.Bar(
        x=[local(since + timedelta(seconds=(n + 0.5) * width_s), view.tz) for n in range(len(stored))],
        y=[round(rate, 2) for rate in per_minute],
        customdata=list(stored),
        name=i18n.text("system.rate", view.language),
        uid="rate",
        marker={"color": PALETTES[view.theme].positive},
        width=width_s * 900,
        hovertemplate="%{y:,.1f} (%{customdata})<extra></extra>",
    )
    return draw(
        [bars],
        view.theme,
        f"rate {view.zone}",
        xaxis=time_axis(since, until, view.tz, view.language),
        yaxis={"rangemode": "tozero", "tickformat": ",~g"},
    )


SPARK_BAR, SPARK_STEP, SPARK_HEIGHT = 4, 5, 24


def sparkline(counts: Sequence[int], usual: Sequence[float], theme: Theme) -> str:
    """A data URL of an SVG image: a bar for each count, and a dashed line through `usual`, which has the same length or is empty."""
    colours = PALETTES[theme]
    top = max([1.0, *counts, *usual])
    width = SPARK_STEP * len(counts)
    bars = [_spark_bar(place, count, top, colours.positive) for place, count in enumerate(counts) if count]
    line = " ".join(
        f"{place * SPARK_STEP + SPARK_BAR / 2:.1f},{SPARK_HEIGHT - 1 - (SPARK_HEIGHT - 2) * mean / top:.1f}"
        for place, mean in enumerate(usual)
    )
    dashes = f'<polyline points="{line}" fill="none" stroke="{colours.text}" stroke-width="1" stroke-dasharray="3 2"/>' if usual else ""
    ground = f'<path d="M0 {SPARK_HEIGHT - 0.5}H{width}" stroke="{colours.grid}"/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{SPARK_HEIGHT}">{ground}{"".join(bars)}{dashes}</svg>'
    return f"data:image/svg+xml,{quote(svg)}"


def _spark_bar(place: int, count: int, top: float, colour: str) -> str:
    height = max(1.0, (SPARK_HEIGHT - 2) * count / top)
    return f'<rect x="{place * SPARK_STEP}" y="{SPARK_HEIGHT - 1 - height:.1f}" width="{SPARK_BAR}" height="{height:.1f}" fill="{colour}"/>'
