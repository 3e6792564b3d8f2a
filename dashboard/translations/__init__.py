"""Every word of the dashboard, in English and Chinese: a module for each page. What libraries say themselves is in `libraries`."""

from __future__ import annotations

from dashboard.translations import (
    alerts,
    articles,
    common,
    deliveries,
    login,
    models,
    overview,
    people,
    rules,
    saved_views,
    series,
    shell,
    sources,
    system,
    verdicts,
    watchlists,
)

LABELS: dict[str, tuple[str, str]] = {
    **alerts.WORDS,
    **articles.WORDS,
    **common.WORDS,
    **deliveries.WORDS,
    **login.WORDS,
    **shell.WORDS,
    **models.WORDS,
    **overview.WORDS,
    **people.WORDS,
    **rules.WORDS,
    **series.WORDS,
    **sources.WORDS,
    **system.WORDS,
    **verdicts.WORDS,
    **saved_views.WORDS,
    **watchlists.WORDS,
}
"""key: (English, Chinese)"""
