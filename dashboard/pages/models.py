"""The page of models: champion, comparison with the previous version, calibration, drift, versions and history."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import dash
from dash import Input, Output, State, dcc, html, no_update

from core.errors import ModelError, StoreError, UserError
from core.log import get_logger
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures import model_charts as figures
from dashboard.pages import model_actions
from dashboard.pages import model_parts as pieces
from dashboard.pages.components import Parts, chart, fresh, keep_zoom, may_use, panel, store_problem, tile
from dashboard.pages.model_parts import words
from dashboard.reads import drift
from dashboard.reads.drift import DRIFTED, Months, Shift
from dashboard.reads.model_reads import Drift, ModelReads
from dashboard.reads.queries import revision
from dashboard.services import ModelComparison, ModelVersions
from dashboard.view import View, parse
from stats.drift import Counts
from stats.wilson import wilson_bounds
from storage.store import LabelledPrediction

PATH = "/models"
LANGUAGES = ("en", "zh")
ROW_PX, HEAD_PX = 26, 90
EVERY_S = 2
"""Refresh interval in seconds: the change feed does not cover model files."""
log = get_logger("dashboard.models")


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh; admins get buttons."""

    def titled_chart(id_: str, key: str, height: int = 300, **more: Any) -> Any:
        return panel(words(view, key), chart(id_, height, view, label=words(view, key)), **more)

    curves = [
        panel(figures.language_name(language, view), chart(f"mo-curve-{language}", 380, view, label=words(view, "calibration")))
        for language in LANGUAGES
    ]
    return html.Div(
        [
            dcc.Store(id="mo-seen"),
            dcc.Store(id="mo-news-seen"),
            html.Div(html.H1(i18n.text("models", view.language)), className="page-head"),
            html.Div(id="mo-problem", role="alert"),
            html.Div(id="mo-news-problem", role="alert"),
            html.Div(id="mo-champion", className="kpis many"),
            panel(
                words(view, "refresh"),
                [
                    *model_actions.layout(view),
                    html.Div(html.P(id="mo-message", className="message", role="status"), hidden=not may_use("admin")),
                    html.Div(id="mo-refreshing"),
                ],
                note=words(view, "refresh_help"),
            ),
            panel(
                words(view, "contest"),
                [chart("mo-contest", 300, view, label=words(view, "contest")), html.Div(id="mo-contest-table")],
                note=html.Span(id="mo-contest-note"),
            ),
            panel(words(view, "calibration"), html.Div(curves, className="halves"), note=html.Span(id="mo-curve-note")),
            panel(words(view, "drift"), html.Div(id="mo-shifts", className="kpis inner many"), note=words(view, "drift_help")),
            html.Div([titled_chart("mo-days", "drift_sentiments"), titled_chart("mo-sure", "drift_confidence")], className="halves"),
            html.Div(
                [
                    titled_chart("mo-topics", "drift_topics", 420, note=words(view, "drift_topics_help")),
                    panel(words(view, "wrong"), html.Div(id="mo-wrong"), note=words(view, "wrong_help")),
                ],
                className="halves",
            ),
            panel(words(view, "card"), html.Div(id="mo-card"), note=html.Span(id="mo-card-note")),
            panel(words(view, "versions"), html.Div(id="mo-versions")),
            panel(words(view, "history"), html.Div(id="mo-history")),
        ]
    )


def drift_tiles(found: Drift, view: View) -> list[Any]:
    """Drift between the two months: sentiment and confidence by language, and topics."""
    split = Months(found.since, found.middle, found.until)
    named = drift.languages(found.days)
    tiles = []
    for language in named:
        what = figures.language_name(language, view)
        moved = drift.sentiments(found.days, split, language)
        bad = [_share(side, "negative") for side in (moved.before, moved.now)]
        note = words(view, "of_negative", before=bad[0], now=bad[1])
        tiles.append(_shift_tile(words(view, "shift", what=what), moved, view, note))
    tiles.append(_shift_tile(words(view, "shift_topics"), drift.topics(found.topics, split), view))
    for language in named:
        before, now = drift.confidence(found.days, split, language)
        label = words(view, "shift_confidence", what=figures.language_name(language, view))
        was = words(view, "was", before="–" if before is None else f"{before:.1%}")
        tiles.append(tile(label, "–" if now is None else f"{now:.1%}", was))
    return tiles


def _share(counts: Counts, key: str) -> str:
    total = sum(counts.values())
    return f"{counts.get(key, 0) / total:.0%}" if total else "–"


def _shift_tile(label: str, moved: Shift, view: View, note: str = "") -> Any:
    if moved.distance is None:
        return tile(label, "–", words(view, "too_few"))
    drifted = moved.distance >= DRIFTED
    message = f"◆ {words(view, 'drifted')}" if drifted else f"● {words(view, 'steady')}"
    far = words(view, "distance", d=f"{moved.distance:.2f}", limit=f"{DRIFTED:g}")
    made = tile(label, message, f"{far} · {note}" if note else far)
    made.children[1].className = "value words negative" if drifted else "value words"
    return made


def wrong_table(judged: Sequence[LabelledPrediction], view: View) -> Any:
    """The share of wrong predictions by version and task, according to people's labels."""
    rows = []
    for each in drift.wrong_by_model(judged):
        low, high = wilson_bounds(each.wrong, each.judged)
        message = f"✗ {each.wrong / each.judged:.0%} ({low:.0%} – {high:.0%})"
        bar = html.Span(html.Span(style={"width": f"{100 * each.wrong / each.judged:.0f}%"}), className="meter", **{"aria-hidden": "true"})
        rows.append([plain(each.model, 60), words(view, f"task.{each.task}"), f"{each.judged:,}", html.Span([message, bar])])
    if not rows:
        return html.P(words(view, "no_feedback"), className="muted")
    return pieces.table([words(view, key) for key in ("version", "task", "judged", "wrong_share")], rows, words(view, "wrong"))


def opponents(found: ModelVersions) -> tuple[str, str]:
    """(champion, the version that it replaced); both "" where there was none."""
    move = pieces.last_move(found)
    return (found.champion, move.origin) if move is not None else ("", "")


def _contest_height(found: ModelComparison | None) -> dict[str, str]:
    return {"height": f"{HEAD_PX + ROW_PX * max(8, len(_drawn(found)))}px"}


def _drawn(found: ModelComparison | None) -> list[Any]:
    """The metrics in the chart: overall accuracy and by language."""
    return [] if found is None else [each for each in found.figures if each.metric == "accuracy" and not each.group.startswith("class ")]


def register(app: dash.Dash, reads: ModelReads, actor: Callable[[], str]) -> None:
    """Register the refresh of the page: files on every tick, the store when its cache has expired."""
    outputs = [
        Output("mo-problem", "children"),
        Output("mo-champion", "children"),
        Output("mo-refreshing", "children"),
        Output(fresh("mo-contest"), "data"),
        Output("mo-contest", "style"),
        Output("mo-contest-note", "children"),
        Output("mo-contest-table", "children"),
        Output("mo-card", "children"),
        Output("mo-card-note", "children"),
        Output("mo-versions", "children"),
        Output("mo-history", "children"),
        Output("mo-seen", "data"),
    ]

    @app.callback(
        outputs,
        Input("tick", "n_intervals"),
        Input("mo-message", "children"),
        Input("view", "data"),
        Input("theme", "data"),
        State("mo-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, _message: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = reads.models()
            going = reads.refreshing()
            contest = reads.contest(*opponents(found)) if found is not None else None
            card = reads.card()
        except (UserError, ModelError, OSError) as error:
            log.warning("the versions cannot be read", error=str(error))
            return [_trouble(words(view, "problem", why=plain(str(error), 400))), *[no_update] * (len(outputs) - 1)]
        if found is None:
            return [html.Div(words(view, "away"), className="empty-state"), *[None] * 2, *[no_update] * (len(outputs) - 3)]
        uses, judged = _stored(reads)
        now = reads.now()
        minute = int(now.timestamp()) // 60
        parts = Parts(seen, view)
        versions = revision(found)
        current, before = found.find(found.champion), found.find(opponents(found)[1])
        clock = int(now.timestamp()) if going is not None and going.state == "running" else 0
        names = (pieces.name_of(contest.before, view), pieces.name_of(contest.now, view)) if contest else ("", "")
        return [
            parts.new("warnings", (versions, revision(uses)), lambda: pieces.warnings(found, uses, view)),
            parts.new(
                "champion",
                (versions, revision(uses), revision(judged), minute),
                lambda: pieces.champion_tiles(found, uses, judged, now, view),
            ),
            parts.new("refreshing", (revision(going), clock), lambda: pieces.refresh_state(going, now, view)),
            parts.new("contest", revision(contest), lambda: figures.contest(_drawn(contest), names, view)),
            parts.new("contest-height", revision(contest), lambda: _contest_height(contest)),
            parts.new("contest-note", revision(contest), lambda: pieces.contest_note(contest, view)),
            parts.new("contest-table", revision(contest), lambda: pieces.contest_table(contest, view)),
            parts.new("card", versions, lambda: [*pieces.card_table(card, current, view), pieces.dev_table(current, before, view)]),
            parts.new("card-note", "", lambda: words(view, "card_help", model=plain(card.model, 60)) if card else ""),
            parts.new("versions", versions, lambda: pieces.versions_table(found, view)),
            parts.new("history", (versions, minute), lambda: pieces.history_list(found, now, view)),
            parts.kept,
        ]

    _register_news(app, reads)
    model_actions.register(app, reads, actor)
    keep_zoom(app, "mo-contest", "mo-days", "mo-sure", "mo-topics", *(f"mo-curve-{language}" for language in LANGUAGES))


def _register_news(app: dash.Dash, reads: ModelReads) -> None:
    outputs = [
        Output("mo-news-problem", "children"),
        *(Output(fresh(f"mo-curve-{language}"), "data") for language in LANGUAGES),
        Output("mo-curve-note", "children"),
        Output("mo-shifts", "children"),
        Output(fresh("mo-days"), "data"),
        Output(fresh("mo-sure"), "data"),
        Output(fresh("mo-topics"), "data"),
        Output("mo-wrong", "children"),
        Output("mo-news-seen", "data"),
    ]

    @app.callback(outputs, Input("tick", "n_intervals"), Input("view", "data"), Input("theme", "data"), State("mo-news-seen", "data"))  # type: ignore[untyped-decorator]
    def news(_tick: Any, data: Any, theme: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found, judged = reads.drift(), reads.judged()
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        try:
            models, card = reads.models(), reads.card()
        except (UserError, ModelError, OSError):  # the other callback of the page shows the error
            models = card = None
        moves = models.history if models is not None else ()
        split = Months(found.since, found.middle, found.until)
        parts = Parts(seen, view)
        labels_mark = revision(judged)
        drawn = (found.revision, revision(moves))

        def curve(language: str) -> Any:
            after, before = (card.after.get(language, ()), card.before.get(language, ())) if card is not None else ((), ())
            return figures.reliability(after, before, drift.bins_of(judged).get(language, ()), view, name=language)

        note = words(view, "calibration_help") + (f" · {words(view, 'calibration_card', model=plain(card.model, 60))}" if card else "")
        return [
            None,
            *(parts.new(f"curve-{name}", (labels_mark, bool(card)), partial(curve, name)) for name in LANGUAGES),
            parts.new("curve-note", bool(card), lambda: note),
            parts.new("shifts", found.revision, lambda: drift_tiles(found, view)),
            parts.new("days", drawn, lambda: figures.sentiment_days(found.days, split, moves, view)),
            parts.new("sure", drawn, lambda: figures.confidence_days(found.days, split, moves, drift.languages(found.days), view)),
            parts.new("topics", found.revision, lambda: figures.topic_shift(drift.topics(found.topics, split), view)),
            parts.new("wrong", labels_mark, lambda: wrong_table(judged, view)),
            parts.kept,
        ]


def _stored(reads: ModelReads) -> tuple[Any, Any]:
    """Scoring models and labels; empty where the store does not respond, as versions are files and can be shown without it."""
    try:
        return reads.uses(), reads.judged()
    except StoreError:
        return [], []


def _trouble(message: str) -> Any:
    return html.Div(["⚠ ", message], className="error-box")
