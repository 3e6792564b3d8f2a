"""The throughput chart: articles stored per minute. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import plotly.graph_objects as go

from dashboard import i18n
from dashboard.figures.charts import draw, local, message, time_axis
from dashboard.figures.palette import PALETTES
from dashboard.view import View


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
