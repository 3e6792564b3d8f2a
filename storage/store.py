"""The store: one object with a table class per subject, over either ClickHouse client.

store.articles           articles with scores, and their keys                  (articles, article_keys, lsh_bands, story_leads)
store.revisions          earlier versions of articles                          (article_revisions)
store.links              links that several sources list                       (article_links)
store.mentions           which series each article belongs to                  (mentions, dirty_hours)
store.rollups            sentiment of series by hour, six hours and day        (rollups, rollup_watermarks)
store.stories            near-duplicates, co-mentioned companies               (mentions, articles)
store.sources            when each source published                            (articles)
store.search             articles by words and filters                         (articles)
store.as_of              articles and sentiment as known at a time             (articles, mentions)
store.changes            which tables were written to                          (system.parts)
store.alerts             alerts and the log of deliveries                      (alerts, deliveries)
store.alert_lifecycle    events, last breaches, suppressed deliveries          (alert_events, alert_last_breach, suppressed_deliveries)
store.alert_groups       alerts that are delivered together                    (alert_groups)
store.replays            requests to deliver again                             (delivery_replays)
store.silences           silences and their early ends                         (silences, silence_ends)
store.peaks              highest surprise per series and hour                  (peaks)
store.labels             labels of people                                      (labels)
store.quality            predictions over time, and with labels                (mentions, articles, labels)
store.dead_letters       records that could not be processed                   (dead_letters, dead_letter_states)
store.rule_texts         revisions of rules                                    (rule_texts)
store.watchlist_texts    revisions of watchlists                               (watchlist_texts)
store.watchlists         which watchlists were backfilled                      (watchlists)
store.saved_views        named dashboard addresses                             (saved_views)
store.accounts           accounts                                              (accounts)
store.sessions           login sessions                                        (sessions)
store.login_failures     consecutive failed logins                             (login_failures)
store.tokens             API tokens                                            (api_tokens, api_token_ends, api_token_uses)
store.audit              the audit log                                         (audit)
store.feeds              feeds added on the dashboard                          (feeds)
store.visits             the crawler's last visit to each source               (source_visits)
store.repeats            boilerplate learned for each source                   (source_repeats)
store.heartbeats         processes                                             (heartbeats)
store.health             sizes, throughput, latency, dead letters              (articles, mentions, dead_letters)
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from core.records import MIN_MATERIALITY
from storage.clickhouse import ClickHouse, connect
from storage.migrations import check_schema, migrate, pending
from storage.tables.accounts import AccountTable, LoginFailureTable, SavedView, SavedViewTable, SessionTable, TokenTable
from storage.tables.alert_lifecycle import AlertLifecycleTable, Cause, SilenceTable, SuppressedDelivery
from storage.tables.alerts import AlertSummary, AlertTable, Delivery, LastAlert
from storage.tables.articles import ArticleKey, ArticleRow, ArticleTable, StoryLead, Totals
from storage.tables.as_of import ArticleAsOf, ArticlePosition, AsOfQueries, StoredArticle
from storage.tables.audit import AuditEntry, AuditTable
from storage.tables.config_texts import ConfigRevision, ConfigRevisionTable, WatchlistTable
from storage.tables.dead_letters import DeadLetter, DeadLetterTable
from storage.tables.feeds import Feed, FeedTable, SourceActivity, SourceQueries, SourceVisit, SourceVisitTable
from storage.tables.health import DeadReason, DiskSpace, HealthQueries, Latency, LatencyStage, SourceHours, TableChanges, TableSize
from storage.tables.heartbeats import Heartbeat, HeartbeatTable
from storage.tables.labels import ArticleText, Label, LabelledText, LabelTable
from storage.tables.mentions import (
    MentionTable,
    MinuteCounts,
    SentimentPoint,
    SentimentSeries,
    SeriesArticle,
    SeriesTotal,
    SourceStories,
    WindowCount,
)
from storage.tables.notifications import AlertGroup, AlertGroupTable, Replay, ReplayTable
from storage.tables.peaks import PeakRow, PeakTable
from storage.tables.quality import DailyPredictions, LabelledPrediction, ModelUse, QualityQueries
from storage.tables.repeats import RepeatTable, StoredRepeat
from storage.tables.revisions import LinkedArticle, LinkTable, Revision, RevisionCounts, RevisionTable
from storage.tables.rollups import RollupTable
from storage.tables.search import ArticleSearch, ArticleVersion, Criteria, SearchCursor, SearchPage
from storage.tables.stories import CompanyProfile, Side, StoryCoverage, StoryQueries
from storage.timestamps import to_epoch

__all__ = [
    "AccountTable",
    "AlertGroup",
    "AlertGroupTable",
    "AlertLifecycleTable",
    "AlertSummary",
    "AlertTable",
    "ArticleAsOf",
    "ArticleKey",
    "ArticlePosition",
    "ArticleRow",
    "ArticleSearch",
    "ArticleTable",
    "ArticleText",
    "ArticleVersion",
    "AsOfQueries",
    "AuditEntry",
    "AuditTable",
    "Cause",
    "CompanyProfile",
    "ConfigRevision",
    "ConfigRevisionTable",
    "Criteria",
    "DailyPredictions",
    "DeadLetter",
    "DeadLetterTable",
    "DeadReason",
    "Delivery",
    "DiskSpace",
    "Feed",
    "FeedTable",
    "HealthQueries",
    "Heartbeat",
    "HeartbeatTable",
    "Label",
    "LabelTable",
    "LabelledPrediction",
    "LabelledText",
    "LastAlert",
    "Latency",
    "LatencyStage",
    "LinkTable",
    "LinkedArticle",
    "LoginFailureTable",
    "MentionTable",
    "MinuteCounts",
    "ModelUse",
    "PeakRow",
    "PeakTable",
    "QualityQueries",
    "RepeatTable",
    "Replay",
    "ReplayTable",
    "Revision",
    "RevisionCounts",
    "RevisionTable",
    "RollupTable",
    "SavedView",
    "SavedViewTable",
    "SearchCursor",
    "SearchPage",
    "SentimentPoint",
    "SentimentSeries",
    "SeriesArticle",
    "SeriesTotal",
    "SessionTable",
    "Side",
    "SilenceTable",
    "SourceActivity",
    "SourceHours",
    "SourceQueries",
    "SourceStories",
    "SourceVisit",
    "SourceVisitTable",
    "Store",
    "StoredArticle",
    "StoredRepeat",
    "StoryCoverage",
    "StoryLead",
    "StoryQueries",
    "SuppressedDelivery",
    "TableChanges",
    "TableSize",
    "TokenTable",
    "Totals",
    "WatchlistTable",
    "WindowCount",
    "open_store",
]


_BY_MONTH = {
    "articles": "published_at",
    "lsh_bands": "published_at",
    "story_leads": "published_at",
    "article_links": "published_at",
    "mentions": "published_at",
    "dirty_hours": "hour",
    "rollups": "start",
    "rollup_watermarks": "start",
    "peaks": "hour",
}
"""Tables partitioned by month, and the column that determines it."""


class Store:
    """All tables. Threads may share it. min_materiality: P(level >= 2) from which articles count in series, as in MentionTable"""

    def __init__(self, client: ClickHouse, min_materiality: float = MIN_MATERIALITY) -> None:
        self.client = client
        self.articles = ArticleTable(client)
        self.revisions = RevisionTable(client)
        self.links = LinkTable(client)
        self.sources = SourceQueries(client)
        self.mentions = MentionTable(client, min_materiality)
        self.changes = TableChanges(client)
        self.search = ArticleSearch(client)
        self.stories = StoryQueries(client, min_materiality)
        self.rollups = RollupTable(client, self.mentions, self.stories)
        self.alerts = AlertTable(client)
        self.replays = ReplayTable(client)
        self.alert_groups = AlertGroupTable(client)
        self.as_of = AsOfQueries(client, min_materiality)
        self.peaks = PeakTable(client)
        self.alert_lifecycle = AlertLifecycleTable(client)
        self.rule_texts = ConfigRevisionTable(client)
        self.watchlist_texts = ConfigRevisionTable(client, "watchlist_texts")
        self.silences = SilenceTable(client)
        self.labels = LabelTable(client)
        self.quality = QualityQueries(client)
        self.watchlists = WatchlistTable(client)
        self.tokens = TokenTable(client)
        self.dead_letters = DeadLetterTable(client)
        self.accounts = AccountTable(client)
        self.sessions = SessionTable(client)
        self.login_failures = LoginFailureTable(client)
        self.saved_views = SavedViewTable(client)
        self.audit = AuditTable(client)
        self.feeds = FeedTable(client)
        self.visits = SourceVisitTable(client)
        self.repeats = RepeatTable(client)
        self.heartbeats = HeartbeatTable(client)
        self.health = HealthQueries(client, min_materiality)

    def migrate(self) -> list[str]:
        """Apply missing migrations and return their names. Raises SettingsError, StoreError."""
        return migrate(self.client)

    def pending(self) -> list[str]:
        """Names of missing migrations. Raises StoreError."""
        return pending(self.client)

    def deliveries_of(self, alert_id: str) -> list[Delivery]:
        """All attempts to deliver this alert, alone or in a group, oldest first. Raises StoreError."""
        groups = self.alert_groups.of([alert_id])
        made = self.alerts.deliveries([alert_id, *(group.subject for group in groups)])
        return sorted(made, key=lambda each: (each.sent_at, each.endpoint, each.attempt))

    def retire(self, before: datetime) -> list[str]:
        """Delete the months that ended before `before` from all tables partitioned by month.

        Alerts, dead letters and article keys are kept.

        Returns:
            Names of the deleted months, such as "202601".

        Raises:
            StoreError
        """
        last = int(f"{before:%Y%m}")
        dropped: set[int] = set()
        for table, moment in _BY_MONTH.items():
            months = self.client.query(
                f"SELECT DISTINCT toYYYYMM({moment}) FROM {table} WHERE {moment} < toDateTime({{before:UInt32}})",
                before=to_epoch(before),
            )
            for month in sorted(int(row[0]) for row in months if int(row[0]) < last):
                self.client.command(f"ALTER TABLE {table} DROP PARTITION {month}")
                dropped.add(month)
        return [str(month) for month in sorted(dropped)]

    def close(self) -> None:
        """Release the connection."""
        self.client.close()


def open_store(address: str, data_dir: Path, min_materiality: float = MIN_MATERIALITY) -> Store:
    """Open the store at an address of the settings without applying migrations. min_materiality: as in Store

    Raises:
        SettingsError: the address is malformed, or the store has the schema of an earlier, unreleased version
        StoreError
    """
    client = connect(address, data_dir)
    try:
        check_schema(client)
    except BaseException:
        client.close()
        raise
    return Store(client, min_materiality)
