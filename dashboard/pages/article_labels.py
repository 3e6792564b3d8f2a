"""Scores, their explanation, the feedback form and the labels: components of the article's page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html

from core.series import company_series, genre_series, kind_of, language_series, sector_series, topic_series, watchlist_series
from core.taxonomy import RISKS, TOPICS, sentiment_of, topic_name
from core.untrusted_text import body, plain
from dashboard import i18n
from dashboard.feedback import WHOLE, known_topics
from dashboard.figures.palette import GLYPHS
from dashboard.pages.components import for_role, name_of, panel, sentiment, series_href
from dashboard.reads.details import ArticleView
from dashboard.services import Explanation
from dashboard.view import View
from storage.store import ArticleVersion, Label

STRONG = 0.5
"""A word is marked as strong from this share of the largest weight on."""
FAINT = 0.15
_RISK_NAMES = {risk.key: (risk.en, risk.zh) for risk in RISKS}


def scores(found: ArticleView, view: View) -> Any:
    """Sentiment of the text and towards each company, topics, series, and the scores of other model versions."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    score = found.score
    surfaces = found.versions[0].surfaces
    rows = [_row(words("article.whole"), (score.p_negative, score.p_neutral, score.p_positive), view)]
    for item in score.companies:
        name = plain(surfaces.get(item.company, ""), 60)
        link = dcc.Link(html.Bdi(name or plain(item.company, 60)), href=series_href(company_series(item.company), view))
        key = html.Span(f" {plain(item.company, 40)}", className="muted small") if name else None
        rows.append(_row([link, key], (item.p_negative, item.p_neutral, item.p_positive), view))
    head = [html.Th(words("article.towards")), *(html.Th(_named(name, view)) for name in GLYPHS)]
    topics = [_chip(topic_series(key), f"{p:.0%}", view) for key, p in score.topics.items()]
    sectors = dict.fromkeys(item.sector for item in score.companies if item.sector)
    series = [
        *map(sector_series, sectors),
        *(watchlist_series(item.name) for item in score.watchlists),
        language_series(score.language),
        genre_series(score.genre),
    ]
    note = words("article.model", model=plain(score.model, 60), moment=i18n.when(score.scored_at, view.tz, view.language))
    table = html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="table scores")
    parts = [
        html.Div(table, className="scroll"),
        html.H3(words("article.topics")),
        html.Div(topics, className="chips"),
        html.H3(words("article.series")),
        html.Div([_chip(name, words(f"kind.{kind_of(name)}"), view) for name in series], className="chips"),
    ]
    if len(found.versions) > 1:
        parts += [
            html.H3(words("article.versions")),
            html.Ul([_version(item, found, view) for item in found.versions[1:]], className="plain"),
        ]
    return panel(words("article.scores"), parts, note=note)


def _named(name: str, view: View) -> str:
    return f"{GLYPHS[name]} {i18n.text('sentiment.' + name, view.language)}"


def _row(label: Any, p: tuple[float, float, float], view: View) -> Any:
    likeliest, _ = sentiment_of(*p)
    cells = [
        html.Td(html.Strong(f"{value:.0%}", className=f"sentiment {name}") if name == likeliest else f"{value:.0%}")
        for name, value in zip(GLYPHS, p, strict=True)
    ]
    return html.Tr([html.Th(label, scope="row"), *cells])


def _chip(series: str, note: str, view: View) -> Any:
    return dcc.Link(
        [html.Bdi(name_of(series, view)), html.Span(f" {note}", className="muted small")], href=series_href(series, view), className="chip"
    )


def _version(version: ArticleVersion, found: ArticleView, view: View) -> Any:
    name, p = sentiment_of(version.p_negative, version.p_neutral, version.p_positive)
    latest = found.versions[0]
    changed = (version.title, version.text) != (latest.title, latest.text)
    moment = i18n.when(version.scored_at, view.tz, view.language)
    words = i18n.text("article.model", view.language, model=plain(version.model, 60), moment=moment)
    other = f" · {i18n.text('article.other_words', view.language)}: {plain(version.title or version.text, 120)}" if changed else ""
    return html.Li([sentiment(name, p, view), " ", html.Span([words, html.Bdi(other)], className="muted small")])


def marked_text(explanation: Explanation) -> list[str | html.Mark]:
    """The text with marks on the words that speak for or against the class, strongly or not. The stylesheet adds + or −.

    Words below FAINT are plain text.
    """
    text = body(explanation.text)
    most = max((abs(word.weight) for word in explanation.words), default=0.0)
    shown: list[str | html.Mark] = []
    at = 0
    for word in explanation.words:
        share = abs(word.weight) / most if most else 0.0
        if share < FAINT:
            continue
        if word.start > at:
            shown.append(text[at : word.start])
        side = "for" if word.weight > 0 else "against"
        shown.append(
            html.Mark(text[word.start : word.end], className=f"{side} strong" if share >= STRONG else side, title=f"{word.weight:+.2f}")
        )
        at = word.end
    if at < len(text):
        shown.append(text[at:])
    return shown


def form(found: ArticleView, view: View) -> Any:
    """The feedback form: correct, or the correct labels."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    score = found.score
    likeliest, _ = sentiment_of(score.p_negative, score.p_neutral, score.p_positive)
    about = [{"value": WHOLE, "label": words("article.whole")}] + [
        {"value": item.company, "label": plain(found.versions[0].surfaces.get(item.company, item.company), 60)} for item in score.companies
    ]
    wrong = html.Details(
        [
            html.Summary(words("feedback.wrong")),
            html.Div(
                [
                    dmc.SegmentedControl(
                        id="ar-sentiment",
                        data=[{"value": name, "label": _named(name, view)} for name in GLYPHS],
                        value=likeliest,
                        size="xs",
                        **{"aria-label": words("feedback.sentiment")},
                    ),
                    dmc.Button(words("feedback.save"), id="ar-save", size="xs", variant="default"),
                    dmc.MultiSelect(
                        id="ar-topics",
                        data=[{"value": topic.key, "label": topic.zh if view.language == "zh" else topic.en} for topic in TOPICS],
                        value=list(known_topics(list(score.topics))),
                        label=words("feedback.topics"),
                        searchable=True,
                        size="xs",
                        className="grow",
                    ),
                    dmc.Button(words("feedback.save_topics"), id="ar-save-topics", size="xs", variant="default"),
                ],
                className="form",
            ),
        ],
        className="wrong",
    )
    right = dmc.Button(words("feedback.right"), id="ar-right", size="xs", variant="default")
    parts = [
        dcc.Store(id="ar-model", data=score.model),
        dmc.Select(id="ar-about", data=about, value=WHOLE, label=words("feedback.about"), allowDeselect=False, size="xs"),
        for_role("analyst", [html.Div([right, wrong], className="row start feedback"), html.Div(id="ar-message", role="status")], view),
    ]
    return panel(words("feedback"), parts, note=words("feedback.help"))


def label_list(labels: Sequence[Label], view: View) -> Any:
    """The labels of people, one line each."""
    if not labels:
        return None
    lines = [
        i18n.text(
            "feedback.line",
            view.language,
            task=i18n.text(f"task.{label.task}", view.language) + (f" ({plain(label.company, 40)})" if label.company else ""),
            labels=", ".join(_label_name(label, name, view) for name in label.labels) or "∅",
            author=plain(label.author, 60),
            moment=i18n.when(label.labelled_at, view.tz, view.language),
            model=plain(label.model, 60) or "–",
        )
        for label in labels
    ]
    return panel(i18n.text("feedback.given", view.language), html.Ul([html.Li(html.Bdi(line)) for line in lines], className="plain"))


def _label_name(label: Label, name: str, view: View) -> str:
    if label.task == "sentiment":
        return _named(name, view) if name in GLYPHS else plain(name, 40)
    if label.task == "topic":
        return topic_name(name, view.language)
    return _RISK_NAMES.get(name, (name, name))[view.language == "zh"]
