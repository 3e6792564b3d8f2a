"""Every word of the dashboard, in English and Chinese: a module for each page. What libraries say themselves is in `libraries`."""

from __future__ import annotations

from dashboard.words import (
    alerts,
    articles,
    common,
    deliveries,
    doors,
    frame,
    models,
    overview,
    people,
    rules,
    series,
    sources,
    system,
    verdicts,
    views,
    watchlists,
)

LABELS: dict[str, tuple[str, str]] = {
    **alerts.WORDS,
    **articles.WORDS,
    **common.WORDS,
    **deliveries.WORDS,
    **doors.WORDS,
    **frame.WORDS,
    **models.WORDS,
    **overview.WORDS,
    **people.WORDS,
    **rules.WORDS,
    **series.WORDS,
    **sources.WORDS,
    **system.WORDS,
    **verdicts.WORDS,
    **views.WORDS,
    **watchlists.WORDS,
}
"""key: (English, Chinese)"""
