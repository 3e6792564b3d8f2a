"""The page of rules: an editor with a preview on stored articles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dash
from dash import html

from core.records import Alert
from core.untrusted_text import plain
from dashboard import i18n
from dashboard.pages import text_editor
from dashboard.pages.components import counts, name_of, severity
from dashboard.services import RulePreview, RuleService
from dashboard.view import View

PATH = "/rules"
SHOWN = 20
EXAMPLE = """[[rules]]
name = "mostly bad"
kind = "negative_share"
series = ["topic:credit", "sector:*"]
over = 0.6
window = "2h"
min_stories = 10
min_materiality = 0.5
"""
EDITOR = text_editor.Editor("ru", "rules", EXAMPLE)


def match(path: str) -> str | None:
    """ "" for the path of this page; None for others."""
    return "" if path.rstrip("/") == PATH else None


def layout(view: View, _key: str) -> Any:
    """The page before its first refresh."""
    return text_editor.layout(EDITOR, view)


def preview_panel(found: RulePreview, view: View) -> Any:
    """The preview: number of alerts in total and by rule, and the newest alerts."""

    def words(key: str, **values: object) -> str:
        return i18n.text(key, view.language, **values)

    days = max(1, round((found.until - found.since).total_seconds() / 86_400))
    head = words("rules.preview", n=len(found.alerts), days=days, stories=f"{found.stories:,}")
    by_rule = [html.Li([html.Bdi(plain(name, 80)), f": {times}"]) for name, times in found.rules.items()]
    rows = [_alert(alert, view) for alert in reversed(found.alerts[-SHOWN:])]
    return html.Div([html.P(head, className="sentence"), html.Ul(by_rule, className="suppressed"), html.Ul(rows, className="articles")])


def _alert(alert: Alert, view: View) -> Any:
    details = [i18n.when(alert.detected_at, view.tz, view.language), " · ", html.Bdi(plain(alert.rule, 80)), " · ", counts(alert, view)]
    head = html.Div([severity(alert, view), html.Bdi(name_of(alert.series, view), className="title")], className="row start")
    return html.Li([head, html.Div(details, className="muted small")])


def register(app: dash.Dash, rule_service: RuleService | None, actor: Callable[[], str]) -> None:
    """Register the page. rule_service: None where this process does not offer it"""

    def preview(text: str, view: View) -> Any:
        return preview_panel(rule_service.preview(text), view) if rule_service is not None else None

    text_editor.register(app, EDITOR, rule_service, preview, actor)
