"""The store: all SQL, one module per subject, over either ClickHouse client.

store.articles    what was published and how it scored      (articles, article_keys, story_bands)
store.sources     when each source was heard              (articles)
store.mentions    which series each article touched         (mentions, hour_marks)
store.changes     whether anything came                   (the names of parts)
store.search      articles found by words and facts        (articles)
store.stories     what a series is about                    (mentions, articles)
store.moods       the same over days and weeks, summed up   (mood_sums, sums_done)
store.alerts      what rang, and who was told               (alerts, deliveries)
store.peaks       how much the past surprised               (peaks)
store.replays     what people want sent once more           (delivery_replays)
store.groups      which of it is sent together              (alert_groups)
store.lives       what became of it, and why not            (alert_events, alert_seen, withheld)
store.rules       rules written on the dashboard            (rule_texts)
store.watchlist_texts  watchlists written there         (watchlist_texts)
store.silences    what people do not want to hear of        (silences, silence_ends)
store.labels      what people said instead                 (labels)
store.quality     what the model says, and what people said of it (mentions, articles, labels)
store.watchlists  which watchlists were given their past    (watchlists)
store.past        articles and moods as they were known    (articles, mentions)
store.tokens      who may use the API                      (api_tokens, api_token_ends, api_token_uses)
store.dead        records that could not be used            (dead_letters, dead_states)
store.accounts    who may come in                           (accounts)
store.sessions    which browsers are logged in              (sessions)
store.failures    who failed to log in                      (login_failures)
store.views       addresses kept under a name             (saved_views)
store.audit       who changed what                          (audit)
store.feeds       feeds that people added                   (feeds)
store.visits      how the crawler fares with each source    (source_visits)
store.beats       which processes are alive                 (heartbeats)
store.health      how much, how fast, and what was refused  (articles, mentions, dead_letters)
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from storage.clickhouse import ClickHouse, connect
from storage.migrations import migrate, pending
from storage.tables.accounts import Accounts, LoginFailures, Sessions
from storage.tables.alert_groups import Group, Groups
from storage.tables.alert_lifecycle import Cause, Lives, Withheld
from storage.tables.alerts import Alerts, Delivery, Fact, Rung
from storage.tables.articles import ArticleRow, Articles, Known, Totals
from storage.tables.as_of import KnownArticle, New, Past, Place
from storage.tables.audit import Audit, AuditEntry
from storage.tables.changes import Changes
from storage.tables.config_texts import RuleText, RuleTexts
from storage.tables.dead_letters import DeadLetter, DeadLetters
from storage.tables.feeds import Feed, Feeds, Sources, Spoke, Visited, Visits
from storage.tables.health import DeadReason, DiskSpace, Health, Latency, SourceHours, Stage, TableSize
from storage.tables.heartbeats import Beat, Beats
from storage.tables.labels import ArticleText, Label, LabelledText, Labels
from storage.tables.mentions import Mentions, MinuteCounts, MoodLine, MoodPoint, NegativeMention, SeriesTotal, SourceStories, WindowCount
from storage.tables.peaks import PeakRow, Peaks
from storage.tables.quality import DaySaid, Judged, Quality, Use
from storage.tables.replays import Replay, Replays
from storage.tables.rollups import Moods
from storage.tables.saved_views import SavedView, SavedViews
from storage.tables.search import Criteria, Cursor, Found, Search, Version
from storage.tables.silences import Silences
from storage.tables.stories import About, Side, Stories, Story
from storage.tables.tokens import Tokens
from storage.tables.watchlists import Watchlists
from storage.timestamps import to_epoch

__all__ = [
    "About",
    "Accounts",
    "Alerts",
    "ArticleRow",
    "ArticleText",
    "Articles",
    "Audit",
    "AuditEntry",
    "Beat",
    "Beats",
    "Cause",
    "Changes",
    "Criteria",
    "Cursor",
    "DaySaid",
    "DeadLetter",
    "DeadLetters",
    "DeadReason",
    "Delivery",
    "DiskSpace",
    "Fact",
    "Feed",
    "Feeds",
    "Found",
    "Group",
    "Groups",
    "Health",
    "Judged",
    "Known",
    "KnownArticle",
    "Label",
    "LabelledText",
    "Labels",
    "Latency",
    "Lives",
    "LoginFailures",
    "Mentions",
    "MinuteCounts",
    "MoodLine",
    "MoodPoint",
    "Moods",
    "NegativeMention",
    "New",
    "PeakRow",
    "Place",
    "Quality",
    "Replay",
    "Replays",
    "RuleText",
    "RuleTexts",
    "Rung",
    "SavedView",
    "SavedViews",
    "Search",
    "SeriesTotal",
    "Sessions",
    "Side",
    "Silences",
    "SourceHours",
    "SourceStories",
    "Sources",
    "Spoke",
    "Stage",
    "Store",
    "Stories",
    "Story",
    "TableSize",
    "Totals",
    "Use",
    "Version",
    "Visited",
    "Visits",
    "WindowCount",
    "Withheld",
    "open_store",
]


_BY_MONTH = {
    "articles": "published_at",
    "story_bands": "published_at",
    "mentions": "published_at",
    "hour_marks": "hour",
    "mood_sums": "start",
    "sums_done": "start",
    "peaks": "hour",
}
"""Tables that are kept by month, and the time that tells which."""


class Store:
    """Everything that is kept, in one object that threads may share."""

    def __init__(self, client: ClickHouse) -> None:
        self.client = client
        self.articles = Articles(client)
        self.sources = Sources(client)
        self.mentions = Mentions(client)
        self.changes = Changes(client)
        self.search = Search(client)
        self.stories = Stories(client)
        self.moods = Moods(client, self.mentions, self.stories)
        self.alerts = Alerts(client)
        self.replays = Replays(client)
        self.groups = Groups(client)
        self.past = Past(client)
        self.peaks = Peaks(client)
        self.lives = Lives(client)
        self.rules = RuleTexts(client)
        self.watchlist_texts = RuleTexts(client, "watchlist_texts")
        self.silences = Silences(client)
        self.labels = Labels(client)
        self.quality = Quality(client)
        self.watchlists = Watchlists(client)
        self.tokens = Tokens(client)
        self.dead = DeadLetters(client)
        self.accounts = Accounts(client)
        self.sessions = Sessions(client)
        self.failures = LoginFailures(client)
        self.views = SavedViews(client)
        self.audit = Audit(client)
        self.feeds = Feeds(client)
        self.visits = Visits(client)
        self.beats = Beats(client)
        self.health = Health(client)

    def migrate(self) -> list[str]:
        """Bring the tables up to date; the names of the steps that were applied."""
        return migrate(self.client)

    def pending(self) -> list[str]:
        """Names of the migrations that have not been applied."""
        return pending(self.client)

    def told(self, alert_id: str) -> list[Delivery]:
        """Every attempt to deliver this alert, alone or in a group, the oldest first. Raises StoreError."""
        groups = self.groups.of([alert_id])
        made = self.alerts.deliveries([alert_id, *(group.subject for group in groups)])
        return sorted(made, key=lambda each: (each.sent_at, each.endpoint, each.attempt))

    def retire(self, before: datetime) -> list[str]:
        """Drop every month that ended before `before`, from all tables that are kept by month; their names, such as "202601".

        Alerts, dead letters and the identity of articles stay. Raises StoreError.
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


def open_store(address: str, data_dir: Path) -> Store:
    """The store at an address of the settings, as it is: not migrated. Raises SettingsError, StoreError."""
    return Store(connect(address, data_dir))
