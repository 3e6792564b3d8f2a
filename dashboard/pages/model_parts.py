"""Components of the page of models that are built from files: champion, refresh, metrics, versions and history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dash import html

from core.untrusted_text import plain
from dashboard import i18n
from dashboard.figures.model_charts import VERDICTS, group_name, language_name, metric_name, test_name, verdict
from dashboard.pages.components import tile
from dashboard.reads.drift import is_right
from dashboard.services import CardMetric, ModelCard, ModelChange, ModelComparison, ModelVersion, ModelVersions, RefreshStatus
from dashboard.view import View
from stats.wilson import wilson_bounds
from storage.store import LabelledPrediction, ModelUse

SHIPPED = "shipped"
RECENT = 12
LATEST_LINES = 12
SETTLED = timedelta(minutes=2)
"""Workers check for a new champion every few seconds, and take some more to load it."""
OF_TASK = {"sentiment": ("accuracy", "macro_f1", "ece"), "topic": ("accuracy", "micro_f1", "ece"), "risk": ("accuracy", "micro_f1", "ece")}


def words(view: View, key: str, **values: object) -> str:
    """A text of this page."""
    return i18n.text(f"models.{key}", view.language, **values)


def name_of(version: str, view: View) -> str:
    """The display name of a version."""
    return words(view, "shipped") if version == SHIPPED else plain(version, 100)


def share(value: float) -> str:
    """A share of 1 as a percentage."""
    return f"{100 * value:.1f}%"


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], label: str) -> Any:
    """A plain table; the first cell of a row is its header."""
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in heads]))
    body = [html.Tr([html.Th(row[0], scope="row"), *(html.Td(cell) for cell in row[1:])]) for row in rows]
    return html.Div(html.Table([head, html.Tbody(body)], className="table scores", **{"aria-label": label}), className="scroll")


def last_move(found: ModelVersions) -> ModelChange | None:
    """The change that made the current champion; None where it was installed."""
    return next((move for move in reversed(found.history) if move.did != "keep" and move.version == found.champion), None)


def champion_tiles(
    found: ModelVersions, uses: Sequence[ModelUse], judged: Sequence[LabelledPrediction], now: datetime, view: View
) -> list[Any]:
    """Champion, since when, its training data, the scoring model, and its accuracy by people's labels."""
    move, made = last_move(found), found.find(found.champion)
    by = "" if move is None else words(view, "by_gate") if move.gate else words(view, "by", actor=plain(move.actor, 60) or "?")
    since = words(view, "always") if move is None else i18n.ago(move.when, now, view.language)
    by = by if move is None else f"{i18n.clock(move.when, view.tz)}{'，' if view.language == 'zh' else ', '}{by}"
    named = plain(made.model, 60) if made is not None and made.model else name_of(found.champion, view)
    note = name_of(found.champion, view) if named != name_of(found.champion, view) else ""
    tiles = [
        _tile(words(view, "champion"), named or "?", note),
        _tile(words(view, "in_force"), since, by),
        _tile(words(view, "made"), i18n.clock(made.created, view.tz) if made and made.created else "–", _made_of(made, view)),
        _scoring(uses, view),
    ]
    own = [each for each in judged if each.task == "sentiment" and made is not None and each.model == made.model]
    right = sum(is_right(each) for each in own)
    low, high = wilson_bounds(right, len(own))
    message = words(view, "judged_n", n=len(own), low=f"{low:.0%}", high=f"{high:.0%}") if own else words(view, "judged_none")
    return [*tiles, _tile(words(view, "judged_right"), f"{right / len(own):.0%}" if own else "–", message)]


def _tile(label: str, value: str, note: str) -> Any:
    made = tile(label, value, note)
    made.children[1].className = "value words"
    return made


def _made_of(made: ModelVersion | None, view: View) -> str:
    if made is None or not made.rows:
        return plain(made.parent, 60) if made is not None else ""
    rows = f"{sum(made.rows.values()):,}"
    return words(view, "parent", parent=plain(made.parent, 60), rows=rows) if made.parent else words(view, "rows", rows=rows)


def _scoring(uses: Sequence[ModelUse], view: View) -> Any:
    if not uses:
        return _tile(words(view, "scoring"), "–", words(view, "scoring_none"))
    total = sum(use.articles for use in uses)
    note = words(view, "scoring_share", share=f"{uses[0].articles / total:.0%}", n=f"{total:,}")
    return _tile(words(view, "scoring"), plain(uses[0].model, 60), note)


def warnings(found: ModelVersions, uses: Sequence[ModelUse], view: View) -> list[Any]:
    """Warnings: a damaged champion, a setting that overrides it, workers that score with another version."""
    warnings_ = []
    made = found.find(found.champion)
    fault = found.fault or (made.fault if made is not None else "")
    if fault:
        warnings_.append(words(view, "faulty", why=plain(fault, 400)))
    if found.setting != "champion":
        warnings_.append(words(view, "setting", setting=plain(found.setting, 100)))
    move = last_move(found)
    scored_since = uses and (move is None or uses[0].last > move.when + SETTLED)
    if found.setting == "champion" and made is not None and made.model and scored_since and uses[0].model != made.model:
        warnings_.append(words(view, "elsewhere", model=plain(uses[0].model, 60)))
    return [html.Div(["⚠ ", text], className="error-box warning") for text in warnings_]


def refresh_state(found: RefreshStatus | None, now: datetime, view: View) -> Any:
    """The running refresh, or the result of the last one."""
    if found is None:
        return html.P(words(view, "refresh.none"), className="muted")
    if found.state == "running":
        seconds = max(0, int((now - found.began).total_seconds()))
        age = words(view, "minutes", m=seconds // 60, s=seconds % 60)
        actor = plain(found.actor, 60) or words(view, "refresh.somebody")
        head = [html.Span("◐ ", **{"aria-hidden": "true"}), words(view, "refresh.running", age=age, actor=actor)]
        lines = _log_lines(found, view) or [html.Li(words(view, "refresh.starting"))]
        return html.Div([html.P(head, className="sentence"), html.Ul(lines, className="plain")])
    at = i18n.clock(found.ended or found.began, view.tz)
    if found.state == "lost":
        message, glyph = words(view, "refresh.lost", at=at), "✗"
    elif found.state == "failed":
        message, glyph = words(view, "refresh.failed", at=at, why=plain(found.error, 600)), "✗"
    else:
        names = {"challenger": name_of(found.challenger, view), "champion": name_of(found.champion, view), "at": at}
        glyph = {"promote": "✓", "keep": "●"}.get(found.did, "–")
        message = words(view, f"refresh.{found.did}", **names)
    reasons = [html.Li(plain(reason, 600)) for reason in found.reasons]
    log_lines = _log_lines(found, view)
    more = (
        html.Details([html.Summary(words(view, "refresh.log")), html.Ul(log_lines, className="plain")], className="more")
        if log_lines
        else None
    )
    return html.Div([html.P(f"{glyph} {message}", className="sentence"), html.Ul(reasons, className="suppressed"), more])


def _log_lines(found: RefreshStatus, view: View) -> list[Any]:
    rows = found.log_lines[-LATEST_LINES:]
    return [
        html.Li([html.Span(words(view, "minutes", m=int(at) // 60, s=int(at) % 60), className="muted"), " ", plain(line, 300)])
        for at, line in rows
    ]


def contest_note(found: ModelComparison | None, view: View) -> str:
    """Which versions were compared, and when."""
    if found is None:
        return words(view, "no_contest")
    names = {"now": name_of(found.now, view), "before": name_of(found.before, view)}
    return words(view, "contest_help", **names, at=i18n.clock(found.at, view.tz))


def contest_table(found: ModelComparison | None, view: View) -> Any:
    """All metrics of the comparison; None where there is none."""
    if found is None or not found.figures:
        return None
    heads = [words(view, key) for key in ("test", "group", "metric", "n", "before", "now", "change")]
    rows = []
    for each in found.figures:
        glyph = VERDICTS[verdict(each.low, each.high)]
        points, low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in (each.now - each.before, each.low, each.high))
        change = f"{glyph} {points} ({low} – {high})"
        rows.append(
            [
                test_name(each.test, view),
                group_name(each.group, view),
                metric_name(each.metric, view),
                f"{each.rows:,}",
                share(each.before),
                share(each.now),
                change,
            ]
        )
    summary = html.Summary(f"{words(view, 'table')} ({len(rows)})")
    return html.Details([summary, table(heads, rows, words(view, "contest"))], className="more")


def card_table(card: ModelCard | None, champion: ModelVersion | None, view: View) -> list[Any]:
    """The metrics of the model card by task, test set and language."""
    if card is None:
        return [html.P(words(view, "no_card"), className="muted")]
    other = champion is None or champion.model != card.model
    heads = [*(words(view, key) for key in ("test", "task", "group", "n", "accuracy")), "F1", "ECE"]
    rows = [_published(each, view) for each in card.figures if each.task in OF_TASK]
    message = html.P(["⚠ ", words(view, "card_other")], className="sentence") if other else None
    return [message, table(heads, rows, words(view, "card"))]


def _published(each: CardMetric, view: View) -> list[Any]:
    accuracy, f1, ece = OF_TASK[each.task]
    value, low, high = each.metrics[accuracy]
    return [
        plain(each.test, 60),
        words(view, f"task.{each.task}"),
        language_name(each.language, view) if each.language else words(view, "all"),
        f"{each.rows:,}",
        f"{share(value)} ({share(low)} – {share(high)})",
        f"{metric_name(f1, view)} {share(each.metrics[f1][0])}",
        f"{each.metrics[ece][0]:.3f}",
    ]


def dev_table(now: ModelVersion | None, before: ModelVersion | None, view: View) -> Any:
    """Dev metrics of the champion and the version before it; None where the champion has none."""
    figures: Mapping[str, Mapping[str, float]] = now.dev if now is not None else {}
    rows = []
    for test, metrics in figures.items():
        for metric, value in metrics.items():
            was = before.dev.get(test, {}).get(metric) if before is not None else None
            row = [plain(test, 60), plain(metric.replace("_", " "), 60), share(value)]
            if before is not None:
                row += ["–", ""] if was is None else [share(was), _moved(value - was)]
            rows.append(row)
    if not rows:
        return None
    keys = ("test", "metric", "now", "before", "change") if before is not None else ("test", "metric", "now")
    helped = words(view, "dev_help", before=name_of(before.name, view)) if before is not None else words(view, "dev_alone")
    summary = html.Summary(words(view, "dev"))
    shown = table([words(view, key) for key in keys], rows, words(view, "dev"))
    return html.Details([summary, html.P(helped, className="muted small"), shown], className="more")


def _moved(change: float) -> str:
    glyph = "▲" if change >= 0.0005 else "▼" if change <= -0.0005 else "≈"
    return f"{glyph} {100 * change:+.1f}".replace("-", "−")


def versions_table(found: ModelVersions, view: View) -> Any:
    """The versions on disk, newest first."""
    heads = [words(view, key) for key in ("version", "state", "made", "made_from", "n")]
    rows = []
    for each in reversed(found.versions):
        state = words(view, "fault", why=plain(each.fault, 300)) if each.fault else words(view, "whole")
        if each.champion:
            state = f"★ {words(view, 'in_use')}" + (f" · {state}" if each.fault else "")
        made = i18n.clock(each.created, view.tz) if each.created else "–"
        shown = name_of(each.name, view)
        named = shown if not each.model or each.model == each.name else f"{shown} ({plain(each.model, 60)})"
        rows.append([html.Bdi(named), state, made, plain(each.parent, 60) or "–", f"{sum(each.rows.values()):,}" if each.rows else "–"])
    return table(heads, rows, words(view, "versions"))


def history_list(found: ModelVersions, now: datetime, view: View) -> Any:
    """Promotions, rollbacks and rejected versions, newest first."""
    if not found.history:
        return html.P(words(view, "no_history"), className="muted")
    items = [_happened(move, now, view) for move in reversed(found.history)]
    shown = html.Ol(items[:RECENT], className="events")
    if len(items) <= RECENT:
        return shown
    rest = html.Details(
        [html.Summary(words(view, "older", n=len(items) - RECENT)), html.Ol(items[RECENT:], className="events")], className="more"
    )
    return html.Div([shown, rest])


def _happened(move: ModelChange, now: datetime, view: View) -> Any:
    glyph = {"promote": "▲", "keep": "●", "rollback": "↩"}[move.did]
    message = words(view, f"did.{move.did}", version=name_of(move.version, view), origin=name_of(move.origin, view) or "?")
    by = words(view, "by_gate") if move.gate else words(view, "by", actor=plain(move.actor, 60)) if move.actor else ""
    at = html.Span(
        f"{i18n.clock(move.when, view.tz)} · {i18n.ago(move.when, now, view.language)}" + (f" · {by}" if by else ""),
        className="muted small",
    )
    why = html.Div(plain(move.why, 800), className="small") if move.why else None
    return html.Li([html.Div([f"{glyph} ", html.Bdi(message, className="who")]), at, why])
