"""The page of one article: text, scores and their explanation, copies, and people's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import Input, Output, State, ctx, dcc, html, no_update

from actions.audited_actions import AuditedActions
from core.errors import BadRecord, ModelError, StoreError
from core.log import get_logger
from core.series import company_series, genre_series, kind_of, language_series, sector_series, topic_series, watchlist_series
from core.taxonomy import RISKS, TOPICS, sentiment_of, topic_name
from core.untrusted_text import body, plain
from dashboard import i18n
from dashboard.feedback import WHOLE, LabelKind, known_topics, labels_of
from dashboard.figures.palette import GLYPHS
from dashboard.pages.components import (
    Parts,
    article_title,
    for_role,
    href,
    materiality_text,
    name_of,
    not_found,
    panel,
    sentiment,
    series_href,
    source_link,
    store_problem,
)
from dashboard.reads.details import ArticleView
from dashboard.reads.queries import Reads, revision
from dashboard.services import Explanation, ExplanationRequest, ExplanationService
from dashboard.translations import LABELS
from dashboard.view import View, parse
from storage.store import ArticleVersion, Label

PREFIX = "/article/"
LABEL_KINDS: dict[str, LabelKind] = {"ar-right": "right", "ar-save": "sentiment", "ar-save-topics": "topics"}
log = get_logger("dashboard.article")


def match(path: str) -> str | None:
    """The article ID in a path; None for the path of another page."""
    if not path.startswith(PREFIX):
        return None
    return path.removeprefix(PREFIX).strip("/")[:100]


def is_id(key: Any) -> bool:
    """Whether a value from the browser may be an article ID: lone surrogates cannot be sent to the store."""
    return isinstance(key, str) and 0 < len(key) <= 100 and key.isprintable()


def layout(view: View, key: str) -> Any:
    """The page before its first refresh."""

    def words(name: str) -> str:
        return i18n.text(name, view.language)

    crumbs = [dcc.Link("← " + words("home"), href=href("/", view)), " · ", dcc.Link(words("search"), href=href("/articles", view))]
    why = dmc.Button(words("weights.button"), id="ar-explain", size="xs", variant="default")
    return html.Div(
        [
            dcc.Store(id="ar-seen"),
            dcc.Store(id="ar-key", data=key),
            html.Div(id="ar-problem", role="alert"),
            html.Nav(crumbs, className="crumbs"),
            html.Div(dmc.Skeleton(height=120, radius="md"), id="ar-head"),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(
                                [
                                    panel(
                                        words("article.text"),
                                        [html.Div(id="ar-text"), dcc.Loading(html.Div(id="ar-explanation"), delay_show=300)],
                                        tools=why,
                                    ),
                                    html.Div(id="ar-revisions"),
                                    panel(words("article.copies"), html.Div(id="ar-copies"), note=words("article.copies_help")),
                                ]
                            ),
                            html.Div([html.Div(id="ar-scores"), html.Div(id="ar-feedback"), html.Div(id="ar-labels")]),
                        ],
                        className="split",
                    )
                ],
                id="ar-body",
            ),
        ]
    )


def head(found: ArticleView, view: View) -> Any:
    """Title, source, times and the corrections of ingestion."""

    def words(key: str) -> str:
        return i18n.text(key, view.language)

    score, latest = found.score, found.versions[0]
    flags = [words(f"flag.{flag}") if f"flag.{flag}" in LABELS else plain(flag, 60) for flag in latest.flags]
    facts = [
        (words("column.source"), plain(score.source, 80)),
        (words("search.genre"), words(f"genre.{score.genre}")),
        (words("search.language"), words(f"lang.{score.language}")),
        (words("article.published"), i18n.clock(score.published_at, view.tz) if score.counts else words("article.undated")),
        (words("article.fetched"), i18n.clock(latest.fetched_at, view.tz)),
        *([(words("article.trust"), words(f"trust.{latest.trust}"))] if latest.trust else []),
        *([(words("article.flags"), ("；" if view.language == "zh" else "; ").join(flags))] if flags else []),
        (words("article.id"), score.id),
    ]
    opened = source_link(latest.url, view, words("article.open") + " ↗") or html.Span(words("article.no_link"), className="muted small")
    return html.Section(
        [
            html.H1(html.Bdi(plain(latest.title or latest.text, 300))),
            html.P(opened),
            html.Dl([html.Div([html.Dt(label), html.Dd(html.Bdi(value))]) for label, value in facts], className="facts"),
        ],
        className="panel article-head",
    )


def text(found: ArticleView, view: View) -> Any:
    """The text of the article."""
    words = found.versions[0].text
    if not words or words == found.versions[0].title:
        return html.P(i18n.text("article.no_text", view.language), className="muted")
    return html.Div(html.Bdi(body(words)), className="words", lang=found.score.language)


def copies(found: ArticleView, view: View) -> Any:
    """The copies of the article in other sources."""
    if not found.copies:
        return html.P(i18n.text("article.no_copies", view.language), className="muted")
    items = []
    for article in found.copies:
        name, p = sentiment_of(article.p_negative, article.p_neutral, article.p_positive)
        note = [html.Bdi(plain(article.source, 80)), " · ", i18n.when(article.published_at, view.tz, view.language)]
        title = article_title(article.title or article.text, article.id, article.url, view)
        items.append(html.Li([html.Div([title, sentiment(name, p, view)], className="row"), html.Div(note, className="muted small")]))
    return html.Ul(items, className="articles")


def revisions(found: ArticleView, view: View) -> Any:
    """The texts that the source replaced, with the sentiment before and after; nothing where it replaced none."""
    if not found.revisions:
        return None
    items = []
    for each in found.revisions:
        name, p = sentiment_of(each.p_negative, each.p_neutral, each.p_positive)
        moment = i18n.text("article.replaced", view.language, moment=i18n.when(each.at, view.tz, view.language))
        changed = None
        if each.sentiment != each.next_sentiment:
            values = {"before": _named(each.sentiment, view), "after": _named(each.next_sentiment, view)}
            changed = html.Strong(i18n.text("article.sentiment_changed", view.language, **values))
        text = html.Details([html.Summary(html.Bdi(plain(each.title or each.text, 200))), html.Div(html.Bdi(body(each.text)))])
        items.append(
            html.Li([html.Div([text, sentiment(name, p, view)], className="row"), changed, html.Div(moment, className="muted small")])
        )
    title, note = (i18n.text(f"article.{key}", view.language) for key in ("revisions", "revisions_help"))
    return panel(title, html.Ul(items, className="articles"), note=note)


def register(app: dash.Dash, reads: Reads) -> None:
    """Register the refresh of the page."""
    outputs = [
        Output("ar-problem", "children"),
        Output("ar-head", "children"),
        Output("ar-body", "hidden"),
        Output("ar-text", "children"),
        Output("ar-scores", "children"),
        Output("ar-feedback", "children"),
        Output("ar-labels", "children"),
        Output("ar-copies", "children"),
        Output("ar-revisions", "children"),
        Output("ar-seen", "data"),
    ]

    @app.callback(
        outputs,
        Input("tick", "n_intervals"),
        Input("view", "data"),
        Input("theme", "data"),
        State("ar-key", "data"),
        State("ar-seen", "data"),
    )  # type: ignore[untyped-decorator]
    def refresh(_tick: Any, data: Any, theme: Any, key: Any, seen: Any) -> list[Any]:
        view = parse(data, theme)
        try:
            found = reads.article(key) if is_id(key) else None
            labels = reads.labels(found.score.id) if found else []
        except StoreError as error:
            log.warning("the store did not answer", error=str(error))
            return [store_problem(view), *[no_update] * (len(outputs) - 1)]
        parts = Parts(seen, view)
        if found is None:
            gone = parts.new("head", "missing", lambda: not_found("missing.article", view))
            return [None, gone, True, *[None] * (len(outputs) - 4), parts.kept]
        return [
            None,
            parts.new("head", found.revision, lambda: head(found, view)),
            False,
            parts.new("text", found.revision, lambda: text(found, view)),
            parts.new("scores", found.revision, lambda: scores(found, view)),
            parts.new("feedback", found.score.model, lambda: feedback_form(found, view)),
            parts.new("labels", revision(labels), lambda: label_list(labels, view)),
            parts.new("copies", found.revision, lambda: copies(found, view)),
            parts.new("revisions", found.revision, lambda: revisions(found, view)),
            parts.kept,
        ]


def explanation_request(found: ArticleView, company: Any) -> ExplanationRequest:
    """The request to explain the sentiment of the whole text, or towards one of its companies (by key)."""
    latest, score = found.versions[0], found.score
    surface = latest.surfaces.get(company, "") if isinstance(company, str) else ""
    return ExplanationRequest(latest.title, latest.text, score.language, score.genre, surface)


def explanation(found: ArticleView, company: Any, explain: ExplanationService, view: View) -> Any:
    """The text with its words marked by their influence on the sentiment. Raises ModelError."""
    why = explain(explanation_request(found, company))
    label = i18n.text(f"sentiment.{why.label}", view.language) if f"sentiment.{why.label}" in LABELS else plain(why.label, 40)
    summary = i18n.text("weights.text", view.language, label=label, p=f"{why.probability:.0%}", model=plain(why.model, 60))
    return [
        html.H3(i18n.text("weights.title", view.language)),
        html.P(summary, className="muted small"),
        html.Div(html.Bdi(marked_text(why)), className="words reasons", lang=found.score.language),
    ]


def register_actions(app: dash.Dash, reads: Reads, actions: AuditedActions, explain: ExplanationService | None) -> None:
    """Register the explanation and the feedback buttons. explain: None where no model is loaded"""

    @app.callback(
        Output("ar-explanation", "children"),
        Output("ar-text", "hidden"),
        Input("ar-explain", "n_clicks"),
        State("ar-about", "value"),
        State("ar-key", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def why(clicks: Any, company: Any, key: Any, data: Any, theme: Any) -> tuple[Any, Any]:
        view = parse(data, theme)
        if not clicks:
            return no_update, no_update
        if explain is None:
            return html.P(i18n.text("weights.none", view.language), className="muted"), False
        try:
            found = reads.article(key) if is_id(key) else None
            return (explanation(found, company, explain, view), True) if found else (no_update, no_update)
        except ModelError as error:
            return html.P(i18n.text("weights.failed", view.language, reason=plain(str(error))), className="muted"), False
        except StoreError:
            return store_problem(view), False

    @app.callback(
        Output("ar-message", "children"),
        *[Input(id_, "n_clicks") for id_ in LABEL_KINDS],
        State("ar-about", "value"),
        State("ar-sentiment", "value"),
        State("ar-topics", "value"),
        State("ar-model", "data"),
        State("ar-key", "data"),
        State("view", "data"),
        State("theme", "data"),
        prevent_initial_call=True,
    )  # type: ignore[untyped-decorator]
    def save_label(*values: Any) -> Any:
        clicks, (company, chosen, topics, model, key, data, theme) = values[: len(LABEL_KINDS)], values[len(LABEL_KINDS) :]
        view, kind = parse(data, theme), LABEL_KINDS.get(str(ctx.triggered_id))
        if kind is None or not any(clicks) or not is_id(key):
            return no_update
        try:
            found = reads.article(key)
            if found is None or model != found.score.model:
                return i18n.text("feedback.changed", view.language)
            actions.label(labels_of(found.score, kind, company, chosen, topics, author=actions.actor(), now=reads.now()))
        except BadRecord:
            return i18n.text("feedback.empty", view.language)
        except StoreError as error:
            log.warning("a label could not be stored", error=str(error))
            return i18n.text("store.title", view.language)
        log.info("labelled", article=key, kind=kind)
        return i18n.text("feedback.noted", view.language)


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
        role = html.Span(f" {words(f'article.role.{item.role}')}", className="muted small") if item.role != "subject" else None
        rows.append(_row([link, key, role], (item.p_negative, item.p_neutral, item.p_positive), view))
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
        html.H3(words("materiality"), title=words("materiality.help")),
        *_materiality(found, view),
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


def _materiality(found: ArticleView, view: View) -> list[Any]:
    """The level of materiality with its probability as a bar, and whether the article counts in alerts and charts."""
    own = found.score.materiality
    shown: list[Any] = [html.Span(materiality_text(own, view), className=f"materiality level{own.level if own else 0}")]
    if own is not None:
        filled = html.Span(style={"width": f"{own.p_relevant:.0%}"})
        shown.append(html.Span(filled, className="meter materiality-bar", **{"aria-hidden": "true"}))
    reason = "materiality.left_out" if found.score.counts else "article.undated_left_out"
    left_out = html.P(i18n.text(reason, view.language), className="muted small")
    return [html.Div(shown, className="row start"), *([] if found.counts else [left_out])]


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
    other = f" · {i18n.text('article.other_words', view.language, text=plain(version.title or version.text, 120))}" if changed else ""
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


def feedback_form(found: ArticleView, view: View) -> Any:
    """The feedback feedback_form: correct, or the correct labels."""

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
            labels=i18n.joined((_label_name(label, name, view) for name in label.labels), view.language) or "∅",
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
