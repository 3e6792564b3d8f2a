"""Texts of the dashboard in English and Chinese, by area. Texts of the libraries that draw charts and tables are in `libraries`."""

from __future__ import annotations

from dashboard.translations import alerts, articles, common, configuration, models, operations, overview, people

LABELS: dict[str, tuple[str, str]] = {
    **alerts.TEXTS,
    **articles.TEXTS,
    **common.TEXTS,
    **configuration.TEXTS,
    **models.TEXTS,
    **operations.TEXTS,
    **overview.TEXTS,
    **people.TEXTS,
}
"""key: (English, Chinese)"""
