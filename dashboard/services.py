"""Ports of the services behind the pages: what the dashboard needs besides the store, and the records that it gets back.

The implementations are in tocsin/services. A service that the process does not offer is None in `Services`, and its page says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from actions.audited_actions import AuditedActions
from core.records import Alert
from storage.store import ArticleRow

DeliveryOutcome = Literal["delivered", "waiting", "failed", "dead"]
OUTCOMES: tuple[DeliveryOutcome, ...] = ("delivered", "waiting", "failed", "dead")
"""waiting: rate limited, or requested again; failed: another attempt is due; dead: no further attempt will be made."""
DAYS = 31
"""How far back the delivery log reaches."""


class Services(NamedTuple):
    """The services that this process offers to the pages; None for one that it does not offer.

    Attributes:
        explanations: which words drove a score.
        rules: the alert rules in force.
        watchlists: the watchlists in force.
        feeds: feeds that people add on the page of sources.
        consumer_lag: how far the workers are behind.
        deliveries: the delivery log, replays and test messages.
        models: the versions of the model.
    """

    explanations: ExplanationService | None = None
    rules: RuleService | None = None
    watchlists: WatchlistService | None = None
    feeds: FeedService | None = None
    consumer_lag: ConsumerLag | None = None
    deliveries: DeliveryService | None = None
    models: ModelService | None = None


# Deliveries


class DeliveryRecord(NamedTuple):
    """An alert, a group or a test message at one endpoint, with its last attempt.

    Attributes:
        subject: key of the delivery in the log.
        alert_ids: the alerts in it; empty for a test message.
        next_at: when the next attempt is due, where that is known.
        requested_by: who asked for it to be sent again; "" for nobody.
    """

    subject: str
    endpoint: str
    attempt: int
    sent_at: datetime
    status: int
    error: str
    outcome: DeliveryOutcome
    alert_ids: tuple[str, ...]
    next_at: datetime | None = None
    requested_by: str = ""


class EndpointStatus(NamedTuple):
    """An endpoint, and the number of deliveries of the last DAYS by outcome.

    Attributes:
        state: ok, waiting, failing, gone, paused or unused; "" for an endpoint that is no longer in the settings.
        keyword: the word that is part of every message to a bot; "" for none.
    """

    endpoint: str
    state: str
    last_at: datetime | None
    counts: dict[DeliveryOutcome, int]
    keyword: str = ""


class DeliveryLog(NamedTuple):
    """Endpoints (configured ones first) and deliveries (newest first)."""

    endpoints: tuple[EndpointStatus, ...]
    deliveries: tuple[DeliveryRecord, ...]


class DeliveryService(Protocol):
    """Thread safe. Every method raises StoreError, and UserError for what cannot be sent; the worker sends within seconds."""

    def log(self) -> DeliveryLog:
        """The deliveries of the last DAYS."""

    def replay(self, endpoint: str, subjects: Sequence[str], actions: AuditedActions) -> int:
        """Request that these deliveries be sent to an endpoint again. Returns how many were requested."""

    def replay_failed(self, endpoint: str, actions: AuditedActions) -> int:
        """Request that all failed and dead deliveries of an endpoint be sent again. Returns how many were requested."""

    def send_test(self, endpoint: str, actions: AuditedActions) -> None:
        """Request a test message in the endpoint's format, also where the endpoint is paused or gone."""


# Explanations of scores


class ExplanationRequest(NamedTuple):
    """The text whose sentiment is to be explained. company: words that name the company; "" for the sentiment of the whole text"""

    title: str
    text: str
    language: str
    genre: str
    company: str = ""


class WordWeight(NamedTuple):
    """The contribution of text[start:end] to the log odds of the class; below 0 it contradicts the class."""

    start: int
    end: int
    weight: float


class Explanation(NamedTuple):
    """Why `model` gives `label` this probability. words: in the order of `text`, which their offsets refer to"""

    text: str
    words: tuple[WordWeight, ...]
    label: str
    probability: float
    model: str


ExplanationService = Callable[[ExplanationRequest], Explanation]
"""Raises ModelError where the model cannot explain a text."""


# Feeds


class FeedProblem(NamedTuple):
    """A peculiarity of a feed. key: of its text in dashboard/translations, without "feed.problem."; values: for its placeholders"""

    key: str
    values: Mapping[str, object] = {}


class FeedEntry(NamedTuple):
    """An entry of a feed. published: None where it has no plausible time"""

    title: str
    published: datetime | None


class FeedPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What an address returned. Its texts were written by strangers.

    Attributes:
        url: the final address, after redirects.
        kind: format of the feed, such as "rss20".
        language: "zh" or "en"; "" for a feed with both.
        entries: number of entries; `newest` holds the newest of them.
        size_bytes, took_s: size of the response and duration of the request.
        interval_s: suggested interval between visits, by the times of its entries.
    """

    url: str
    title: str
    kind: str
    language: str
    entries: int
    newest: tuple[FeedEntry, ...]
    problems: tuple[FeedProblem, ...]
    size_bytes: int
    took_s: float
    interval_s: float


class NewFeed(msgspec.Struct, frozen=True, kw_only=True):
    """A feed to be added: the fields of a [[sources]] table, of which the page asks for some."""

    name: str
    url: str
    kind: str = "auto"
    language: str = ""
    genre: str = "news"
    interval_s: float = 120.0
    timezone: str = "UTC"
    full_text: str = "never"
    max_items: int = 200


class FeedService(Protocol):
    """Thread safe."""

    def preview(self, url: str, actor: str) -> FeedPreview:
        """Fetch and parse a feed as the crawler would, without storing it. Raises UserError, SourceError."""

    def add(self, feed: NewFeed, actor: str) -> None:
        """Add a feed for the crawler to visit. Raises UserError, StoreError."""

    def remove(self, name: str, actor: str) -> None:
        """Remove a feed. Raises UserError where it was not added on this page, StoreError."""


# Kafka


ConsumerLag = Callable[[], Mapping[str, list[int]]]
"""Topic, by its logical name, to the number of messages that the workers have not committed, by partition. Raises BrokerError."""


# Model versions

ModelAction = Literal["promote", "keep", "rollback"]


class ModelVersion(NamedTuple):
    """A version of the model on disk.

    Attributes:
        name: by which it is promoted.
        model: the name that its scores carry.
        parent: the version that it was trained from.
        rows: training set to number of rows.
        dev: dev set to metric to value.
        fault: why it cannot be used; "" where it can.
    """

    name: str
    model: str = ""
    created: datetime | None = None
    parent: str = ""
    rows: Mapping[str, int] = {}
    dev: Mapping[str, Mapping[str, float]] = {}
    champion: bool = False
    fault: str = ""


class ModelChange(NamedTuple):
    """An entry of the versions' history.

    Attributes:
        origin: the champion until then.
        who: "" for the promotion gate of a refresh.
        gate: whether the promotion gate decided.
    """

    when: datetime
    did: ModelAction
    version: str
    origin: str
    why: str
    actor: str
    gate: bool


class ModelVersions(NamedTuple):
    """The versions of this installation and their history.

    Attributes:
        champion: name of the champion; "" where the file that names it is damaged (`fault` says how).
        before: the version that a rollback returns to; "" for none.
        history: oldest first.
        setting: value of the setting `model`; the champion scores only where it is "champion".
    """

    champion: str
    before: str
    versions: tuple[ModelVersion, ...]
    history: tuple[ModelChange, ...]
    setting: str = "champion"
    fault: str = ""

    def find(self, name: str) -> ModelVersion | None:
        """The version of this name."""
        return next((each for each in self.versions if each.name == name), None)


class MetricComparison(NamedTuple):
    """A metric of two versions on the same rows of a frozen test, as shares of 1.

    Attributes:
        group: "all", "language zh" or "class negative".
        metric: "accuracy", "macro F1" or "F1".
        low, high: 95 % confidence interval of now - before.
    """

    test: str
    group: str
    metric: str
    rows: int
    before: float
    now: float
    low: float
    high: float


class ModelComparison(NamedTuple):
    """The metrics of two versions on the frozen tests."""

    now: str
    before: str
    at: datetime
    figures: tuple[MetricComparison, ...]


class CardMetric(NamedTuple):
    """Metrics of the model card on one test set. metrics: name to (value, low, high), the 95 % confidence interval"""

    task: str
    test: str
    language: str
    rows: int
    metrics: Mapping[str, tuple[float, float, float]]


Bins = Sequence[tuple[float, float, float]]
"""Calibration bins: per bin of confidence (rows, sum of their confidences, rows that are right)."""


class ModelCard(NamedTuple):
    """The model card of a version. before, after: language to the bins of the predicted sentiment, before and after calibration"""

    model: str
    figures: tuple[CardMetric, ...]
    before: Mapping[str, Bins]
    after: Mapping[str, Bins]


class RefreshStatus(NamedTuple):
    """The running refresh, or the last one.

    Attributes:
        state: running, ended (see `did`), failed (see `error`), or lost: its process was killed.
        did: promoted, kept the champion, or nothing to do ("skip").
        log_lines: log lines, each with the seconds since the start.
    """

    state: Literal["running", "ended", "failed", "lost"]
    began: datetime
    actor: str
    log_lines: tuple[tuple[float, str], ...] = ()
    ended: datetime | None = None
    did: Literal["promote", "keep", "skip", ""] = ""
    champion: str = ""
    challenger: str = ""
    reasons: tuple[str, ...] = ()
    error: str = ""


class ModelService(Protocol):
    """Thread safe. Changes are written to the history of the versions and to the audit log, under the name `who`.

    Every method raises UserError or ModelError, with a sentence for a person, where it cannot do what is asked.
    """

    def versions(self) -> ModelVersions:
        """The versions and their history."""

    def comparison(self, now: str, before: str) -> ModelComparison | None:
        """The measured comparison of two versions; None where they were not compared."""

    def card(self) -> ModelCard | None:
        """The model card of the version that is shipped with Tocsin; None where it is not installed."""

    def refresh_status(self) -> RefreshStatus | None:
        """The refresh that is running in any process, or the last one; None where there was none."""

    def promote(self, version: str, champion: str, why: str, actor: str) -> None:
        """Make `version` the champion. Refused where the champion is no longer `champion`, or files of `version` are damaged."""

    def rollback(self, champion: str, why: str, actor: str) -> None:
        """Return to the version before `champion`. Refused where the champion is another one by now, or there is none before it."""

    def refresh(self, actor: str, force: bool) -> None:
        """Start training on people's labels in a process of its own. Refused while a refresh is running. force: also with few labels"""


# Rules and watchlists


class ActiveText(NamedTuple):
    """The configuration text in force. id: of a text that was saved here, "" where it comes from the settings; who, at: of that text"""

    id: str
    text: str
    actor: str = ""
    at: datetime | None = None


class RulePreview(NamedTuple):
    """The alerts that rules would have raised in [since, until). rules: rule to number of alerts; alerts: oldest first"""

    since: datetime
    until: datetime
    stories: int
    rules: dict[str, int]
    alerts: tuple[Alert, ...]


class RuleService(Protocol):
    """Thread safe. Every method raises StoreError."""

    def active(self) -> ActiveText:
        """The rules in force."""

    def preview(self, text: str) -> RulePreview:
        """The alerts that these rules would have raised in the last 30 days. Raises SettingsError with a line for each mistake."""

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Replace the rules of id `base`. Raises SettingsError for mistakes, and Conflict where the rules changed meanwhile."""


class WatchlistMatches(NamedTuple):
    """The articles that one watchlist would have matched. newest: the last ones, each with the part of the watchlist that matched"""

    name: str
    title_en: str
    title_zh: str
    articles: int
    negative: int
    newest: tuple[tuple[ArticleRow, str], ...]


class WatchlistPreview(NamedTuple):
    """Matches in the articles of [since, until); `since` is later than requested where time ran out. read: articles that were read"""

    since: datetime
    until: datetime
    read: int
    lists: tuple[WatchlistMatches, ...]


class WatchlistService(Protocol):
    """Thread safe. Every method raises StoreError."""

    def active(self) -> ActiveText:
        """The watchlists in force."""

    def preview(self, text: str) -> WatchlistPreview:
        """The articles of the last 7 days that these watchlists would have matched. Raises SettingsError with a line for each mistake."""

    def save(self, text: str, base: str, actor: str) -> ActiveText:
        """Replace the watchlists of id `base`. Raises SettingsError for mistakes, and Conflict where they changed meanwhile."""
