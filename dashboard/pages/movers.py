"""The biggest movers on the overview: series compared with their baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from core.errors import StoreError
from core.log import get_logger
from core.series import kind_of
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import Parts, name_of, panel, series_href
from dashboard.reads.movers import Mover, furthest
from dashboard.reads.queries import Reads, revision
from dashboard.view import MEASURES, View, parse

log = get_logger("dashboard.reads.movers")


def section(view: View) -> Any:
    """The panel before its first refresh."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    by = dmc.SegmentedControl(
        id="by",
        data=[{"value": measure, "label": words(f"movers.{measure}")} for measure in MEASURES],
        value=view.by,
        size="xs",
        **{"aria-label": words("movers.by")},
    )
    skeleton = [dmc.Skeleton(height=32, mb=6) for _ in range(4)]
    return panel(
        words("movers"),
        [dcc.Store(id="mv-seen"), html.Div(skeleton, id="mv-table", className="scroll")],
        note=words("movers.help"),
        tools=by,
    )


def table(found: list[Mover], names: Mapping[str, str], view: View) -> Any:
    """The table of the largest changes by the view's measure."""
    shown = furthest(found, view.by)
    if not shown:
        why = "movers.none" if found else "movers.short"
        return html.P(i18n.text(why, view.language), className="muted")
    heads = [i18n.text(f"movers.{key}", view.language) for key in ("series", *MEASURES)]
    return html.Table(
        [html.Thead(html.Tr([html.Th(head, scope="col") for head in heads])), html.Tbody([_row(each, names, view) for each in shown])],
        className="table movers",
    )


def _row(mover: Mover, names: Mapping[str, str], view: View) -> Any:
    name = name_of(mover.series, view, plain(names.get(mover.series, ""), 60))
    kind = html.Span(i18n.text(f"kind.{kind_of(mover.series)}", view.language), className="muted small")
    title = html.Th([dcc.Link(html.Bdi(name), href=series_href(mover.series, view)), " ", kind], scope="row")
    most = max(1.0, mover.stories, mover.usual_stories)
    cells = {
        "negative": _cell(
            f"{mover.share:.0%}", f"{mover.usual_share:.0%}", mover.share, mover.usual_share, _worse(mover.scores["negative"]), view
        ),
        "volume": _cell(
            f"{mover.stories:,}",
            i18n.decimal(mover.usual_stories),
            mover.stories / most,
            mover.usual_stories / most,
            _more(mover.scores["volume"]),
            view,
        ),
        "tone": _cell(
            _signed(mover.tone),
            _signed(mover.usual_tone),
            (1 + mover.tone) / 2,
            (1 + mover.usual_tone) / 2,
            _worse(-mover.scores["tone"], up=mover.scores["tone"] > 0),
            view,
        ),
    }
    return html.Tr([title, *(cells[measure] for measure in MEASURES)])


Mark = tuple[str, str]
"""A glyph and its CSS class."""


def _worse(score: float, *, up: bool | None = None) -> Mark:
    """An arrow in the colour of negative news where the score is above 0, of positive news below; "=" near 0."""
    if abs(score) < 1:
        return "=", "neutral"
    rose = score > 0 if up is None else up
    return "↑" if rose else "↓", "negative" if score > 0 else "positive"


def _more(score: float) -> Mark:
    return ("=" if abs(score) < 1 else "↑" if score > 0 else "↓"), "neutral"


def _cell(now: str, usual: str, part: float, usual_part: float, mark: Mark, view: View) -> Any:
    """A value and its baseline, as figures and as a bar with a notch at the baseline. part, usual_part: in [0, 1]"""
    glyph, colour = mark
    bar = html.Span(
        [
            html.Span(className="fill", style={"width": f"{100 * min(1.0, part):.0f}%"}),
            html.Span(className="notch", style={"left": f"{100 * min(1.0, usual_part):.0f}%"}),
        ],
        className=f"bar {colour}",
        **{"aria-hidden": "true"},
    )
    message = i18n.text("movers.usual", view.language, usual=usual)
    return html.Td([html.Span(f"{glyph} {now}", className=f"sentiment {colour}"), " ", html.Span(message, className="muted small"), bar])


def _signed(tone: float) -> str:
    return f"{tone:+.2f}".replace("-", "−")


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the table."""

    @app.callback(
        Output("mv-table", "children"),
        Output("mv-seen", "data"),
        Input("tick", "n_intervals"),
        Input("view", "data"),
        State("theme", "data"),
        State("mv-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, seen: Any) -> tuple[Any, Any]:
        view = parse(data, theme)
        try:
            found, names = reads.movers(view.range), reads.company_names(view.range)
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return no_update, no_update  # the page's own callback shows the error
        parts = Parts(seen, (view.range, view.by, view.language, view.zone, view.colours))
        return parts.new("table", revision(found), lambda: table(found, names, view)), parts.kept
