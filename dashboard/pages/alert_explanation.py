"""The explanation of an alert: decisive stories, first source, key terms and companies."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dash import dcc, html

from core.records import Alert, Why
from core.series import company_series
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages.components import href, name_of
from dashboard.view import View


def explanation_list(alert: Alert, view: View) -> Any:
    """The explanation as a list; None where there is none."""
    why = alert.why
    if why is None or not why.stories:
        return None

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    rows: list[tuple[str, Any]] = []
    if why.decisive_count:
        of = f"{why.stories}{'+' if why.more else ''}"
        rows.append((words("explanation.decisive"), words("explanation.decisive_of", n=why.decisive_count, stories=of)))
    if why.first_at is not None:
        first = [html.Bdi(plain(why.first_source, 80)), " · ", i18n.when(why.first_at, view.tz, view.language)]
        rows.append((words("explanation.first"), first))
    if why.words:
        rows.append((words("explanation.words") + _read(why, view), _chips([(each.word, each.stories, "") for each in why.words], view)))
    if why.companies:
        named = [
            (name_of(company_series(each.company), view), each.stories, f"/series/company/{quote(each.company, safe='')}")
            for each in why.companies
        ]
        rows.append((words("explanation.companies") + _read(why, view), _chips(named, view)))
    if not rows:
        return None
    return html.Dl([html.Div([html.Dt(label), html.Dd(value)]) for label, value in rows], className="facts explanation")


def is_decisive(alert: Alert, article: str) -> bool:
    """Whether `article` is one of the decisive articles of the alert."""
    return alert.why is not None and article in alert.why.decisive_article_ids


def decisive_mark(view: View) -> Any:
    """The badge of a decisive article."""
    return html.Span(
        "★ " + i18n.text("explanation.needed", view.language),
        className="decisive",
        title=i18n.text("explanation.needed_help", view.language),
    )


def _read(why: Why, view: View) -> str:
    return "" if why.read >= why.stories else " " + i18n.text("explanation.read", view.language, n=why.read)


def _chips(items: list[tuple[str, int, str]], view: View) -> Any:
    """A row of chips from (text, number of stories, path or "")."""
    made = []
    for word, stories, path in items:
        inside = [html.Bdi(plain(word, 60)), html.Span(f" {stories}", className="muted")]
        look = {"className": "chip", "title": i18n.text("explanation.stories", view.language, n=stories)}
        made.append(dcc.Link(inside, href=href(path, view), **look) if path else html.Span(inside, **look))
    return html.Div(made, className="chips")
