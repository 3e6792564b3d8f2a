"""What the page of deliveries asks of the process that serves it: the dashboard knows neither endpoints nor when they are tried again.

Which words drove a score: what is asked of a model, and the answer on the text. The model itself is tocsin/explaining's.

The dashboard knows no model. It is handed something that explains where a model runs in the same process, and says so where none does.

What the page of sources asks of the process that serves it: to look at a feed, to add and to remove one. No page fetches anything.

What the page of the system asks of the process that serves it: how far the workers are behind. The dashboard knows no Kafka.

What the page of models asks of the process that serves it: the dashboard knows no model, it shows and hands on names and figures.

What the page of rules asks of the process that serves it: the dashboard knows no rules, it shows and hands on their text.

What pages ask of the process that serves them, besides what is stored: the dashboard knows no rules, models or feeds, it shows them.

What the page of watchlists asks of the process that serves it: the dashboard matches nothing, it shows and hands on their text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from actions.audited_actions import Deeds
from core.records import Alert
from storage.store import ArticleRow

Outcome = Literal["delivered", "waiting", "failed", "dead"]
OUTCOMES: tuple[Outcome, ...] = ("delivered", "waiting", "failed", "dead")
"""waiting: for its turn, or because somebody asked for it; failed: another attempt is due; dead: none is, or ever will be."""
DAYS = 31
"""How far back the log reaches."""


class DeliveryRecord(NamedTuple):
    """An alert, a group or a test at one endpoint, with its last attempt.

    subject: what the log calls it; alert_ids: the alerts in it, none for a test
    next_at: when another attempt is due, as far as is known; asked_by: who wants it sent once more
    """

    subject: str
    endpoint: str
    attempt: int
    sent_at: datetime
    status: int
    error: str
    outcome: Outcome
    alert_ids: tuple[str, ...]
    next_at: datetime | None = None
    asked_by: str = ""


class EndpointStatus(NamedTuple):
    """An endpoint, and how many of the last DAYS have which outcome there.

    state: ok, waiting, failing, gone, paused or unused; "" for one that the settings have no more
    """

    endpoint: str
    state: str
    last_at: datetime | None
    counts: dict[Outcome, int]


class DeliveryLog(NamedTuple):
    """Endpoints as the settings have them, then those that they have no more; deliveries, the newest first."""

    places: tuple[EndpointStatus, ...]
    sent: tuple[DeliveryRecord, ...]


class DeliveryService(Protocol):
    """Thread safe. Every method raises StoreError, and SettingsError for what cannot be sent; the worker sends within seconds."""

    def log(self) -> DeliveryLog:
        """The deliveries of the last DAYS."""

    def replay(self, endpoint: str, subjects: Sequence[str], deeds: Deeds) -> int:
        """Ask for these to be sent there once more; how many were asked for."""

    def replay_failed(self, endpoint: str, deeds: Deeds) -> int:
        """The same for all that failed or are dead there."""

    def send_test(self, endpoint: str, deeds: Deeds) -> None:
        """Ask for a test to be sent there, in its form, though it is paused or gone."""


class ExplanationRequest(NamedTuple):
    """The text whose sentiment is to be explained; company: words that name the one it is towards, "" for the whole text."""

    title: str
    text: str
    language: str
    genre: str
    company: str = ""


class WordWeight(NamedTuple):
    """text[start:end], and how much it adds to the log odds of the class (negative: takes away)."""

    start: int
    end: int
    weight: float


class Explanation(NamedTuple):
    """Why `label` has `probability`, by `model`; places are places in `text`, in order."""

    text: str
    words: tuple[WordWeight, ...]
    label: str
    probability: float
    model: str


ExplanationService = Callable[[ExplanationRequest], Explanation]
"""Raises ModelError where the model cannot."""


class FeedProblem(NamedTuple):
    """What is odd about a feed. key: of the words, dashboard/translations/sources.py, without "feed.problem."; values: that they name"""

    key: str
    values: Mapping[str, object] = {}


class FeedEntry(NamedTuple):
    """An entry as a feed has it. published: None: it has no time that can be believed"""

    title: str
    published: datetime | None


class FeedPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What stands at an address. Texts are the feed's own: strangers wrote them.

    url: where it came from in the end; kind: such as "rss20"
    language: "zh", "en", or "" where it has both; entries: how many; newest: the newest of them
    size_bytes, took_s: of the answer; interval_s: how often it should be visited, by its own past
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
    """A feed as somebody wants it: the fields of a [[sources]] table that the page asks for."""

    name: str
    url: str
    language: str = ""
    genre: str = "news"
    interval_s: float = 120.0
    full_text: str = "never"


class FeedService(Protocol):
    """Thread safe."""

    def preview(self, url: str, who: str) -> FeedPreview:
        """Fetch and read it as the crawler would, and store nothing. Raises UserError or SourceError for what it cannot be."""

    def add(self, feed: NewFeed, who: str) -> None:
        """Have the crawler take it up. Raises UserError for what it cannot be, StoreError."""

    def remove(self, name: str, who: str) -> None:
        """Have the crawler leave it. Raises UserError where nobody added it here, StoreError."""


ConsumerLag = Callable[[], Mapping[str, list[int]]]
"""Topic, by the name that this house gives it, to the messages that the workers have not done yet, by partition. Raises BrokerError."""


ModelAction = Literal["promote", "keep", "rollback"]


class ModelVersion(NamedTuple):
    """A version of the model on disk.

    name: what it is promoted by; model: what its scores call it; parent: the one that it was trained from
    rows: training set to rows; dev: set to metric to value on its dev split
    fault: why it cannot be used, "" when it can
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
    """What happened to a version. origin: the champion until then; who: "" for the gate of a refresh; gate: whether it decided"""

    when: datetime
    did: ModelAction
    version: str
    origin: str
    why: str
    who: str
    gate: bool


class ModelVersions(NamedTuple):
    """The versions of this installation, and what became of them.

    champion: its name, "" where the file that names it is damaged (fault says how); before: the one that a rollback leads to, "" for none
    history: oldest first; setting: the setting `model`: with another than "champion" the champion does not score
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
    """Two versions on the same rows of a frozen test, in shares of 1. low, high: 95 % interval of now - before.

    group: "all", "language zh" or "class negative"; metric: "accuracy", "macro F1" or "F1"
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
    """What was measured of two versions beside each other."""

    now: str
    before: str
    at: datetime
    figures: tuple[MetricComparison, ...]


class CardMetric(NamedTuple):
    """A figure of the model card: of a test set in a language. metrics: name to (value, low, high), the interval of 95 %."""

    task: str
    test: str
    language: str
    rows: int
    metrics: Mapping[str, tuple[float, float, float]]


Bins = Sequence[tuple[float, float, float]]
"""Per bin of confidence: how many, the sum of their confidences, how many right."""


class ModelCard(NamedTuple):
    """The model card of a version. before, after: language to bins of the sentiment said, before and after calibration."""

    model: str
    figures: tuple[CardMetric, ...]
    before: Mapping[str, Bins]
    after: Mapping[str, Bins]


class RefreshStatus(NamedTuple):
    """A refresh that is under way, or the last one.

    state: running, ended (see did), failed (see error), or lost: its process was killed
    did: promoted, kept back, or nothing to do ("skip"); told: what it says, with the seconds since it began
    """

    state: Literal["running", "ended", "failed", "lost"]
    began: datetime
    who: str
    told: tuple[tuple[float, str], ...] = ()
    ended: datetime | None = None
    did: Literal["promote", "keep", "skip", ""] = ""
    champion: str = ""
    challenger: str = ""
    reasons: tuple[str, ...] = ()
    error: str = ""


class ModelService(Protocol):
    """Thread safe. What changes something is written to the history of the versions and to the audit log, under the name `who`.

    Every method raises SettingsError or ModelError in a sentence for a person where it cannot do what is asked.
    """

    def versions(self) -> ModelVersions:
        """The versions and their history."""

    def comparison(self, now: str, before: str) -> ModelComparison | None:
        """What was measured of these two versions; None: nothing was."""

    def card(self) -> ModelCard | None:
        """The model card of the version that comes with Tocsin; None where it is not installed."""

    def refresh_status(self) -> RefreshStatus | None:
        """The refresh that is under way in any process, or the last one; None: there was none."""

    def promote(self, version: str, champion: str, why: str, who: str) -> None:
        """Put `version` in the place of `champion`. Refused when another is champion by now, or its files are not whole."""

    def rollback(self, champion: str, why: str, who: str) -> None:
        """Go back to the version before `champion`. Refused when another is champion by now, or none was before."""

    def refresh(self, who: str, force: bool) -> None:
        """Begin to learn from people's labels, in a process of its own. Refused while one is under way. force: few labels will do."""


class ActiveText(NamedTuple):
    """The rules that ring now. id: of the text that was written here, "" where they come from the settings; who, at: of that text"""

    id: str
    text: str
    who: str = ""
    at: datetime | None = None


class RulePreview(NamedTuple):
    """What rules would have rung in [since, until): by rule how often, and the alerts, oldest first."""

    since: datetime
    until: datetime
    stories: int
    rules: dict[str, int]
    alerts: tuple[Alert, ...]


class RuleService(Protocol):
    """Thread safe. Every method raises StoreError."""

    def active(self) -> ActiveText:
        """The text of the rules that ring now."""

    def preview(self, text: str) -> RulePreview:
        """What these rules would have rung in the last 30 days. Raises UserError with a line for each mistake."""

    def save(self, text: str, base: str, who: str) -> ActiveText:
        """Put these rules in force in place of those of id `base`. Raises UserError for mistakes, and where others are by now."""


class Services(NamedTuple):
    """Who answers for what; None: it is not to be had from this process, and the pages say so.

    explain: which words drove a score; ruling, watching: the rules and the watchlists in force; feeding: feeds that people add
    lags: how far the workers are behind; delivering: what was sent, and is to be sent again; modelling: the versions of the model
    """

    explain: ExplanationService | None = None
    ruling: RuleService | None = None
    watching: WatchlistService | None = None
    feeding: FeedService | None = None
    lags: ConsumerLag | None = None
    delivering: DeliveryService | None = None
    modelling: ModelService | None = None


class WatchlistMatches(NamedTuple):
    """What one watchlist would have matched. articles, negative: how many; newest: the last ones, each with what it has of the list"""

    name: str
    title_en: str
    title_zh: str
    articles: int
    negative: int
    newest: tuple[tuple[ArticleRow, str], ...]


class WatchlistPreview(NamedTuple):
    """What watchlists would have matched of the articles of [since, until); since is later than was asked for where time ran out."""

    since: datetime
    until: datetime
    read: int
    lists: tuple[WatchlistMatches, ...]


class WatchlistService(Protocol):
    """Thread safe. Every method raises StoreError."""

    def active(self) -> ActiveText:
        """The text of the watchlists that are followed now."""

    def preview(self, text: str) -> WatchlistPreview:
        """What these watchlists would have matched in the last 7 days. Raises UserError with a line for each mistake."""

    def save(self, text: str, base: str, who: str) -> ActiveText:
        """Follow these watchlists in place of those of id `base`. Raises UserError for mistakes, and where others are by now."""
