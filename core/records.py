"""The records in Kafka messages and in the store: articles, scores and alerts.

Messages are compact JSON. Decoding validates every field and raises BadRecord with the reason, so that one bad record becomes a dead
letter and the others are processed.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from core.errors import BadRecord

SCHEMA_VERSION: Literal[1] = 1
MAX_TITLE_CHARS = 1_000
MAX_TEXT_CHARS = 20_000
"""Longer texts are cut before they are published: 20,000 characters are at most 80 kB of UTF-8, well under Kafka's 1 MB."""

OLDEST = datetime(1971, 1, 1, tzinfo=UTC)
NEWEST = datetime(2100, 1, 1, tzinfo=UTC)
"""ClickHouse's DateTime covers 1970 to 2106; a time outside these bounds is an error of its source."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Amount = Annotated[float, msgspec.Meta(ge=0.0, le=1e300)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Url = Annotated[str, msgspec.Meta(max_length=4_000)]
Sector = Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""The bounds are those of the columns, so that every decoded record can be stored, encoded and sent."""

Genre = Literal["news", "social", "filing"]
Language = Literal["zh", "en"]
Role = Literal["subject", "speaker", "comparison"]
Trust = Literal["domain", "feed", "archive", "push"]
"""How far a source speaks for a link: it is fetched from the link's own domain; it is a configured feed or a loaded archive of another;
a program pushed it. Its articles carry it, so that detection may weigh them."""
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
RecordT = TypeVar("RecordT")


UNCOUNTED_FLAGS = frozenset({"date"})
"""Flags of articles that are stored and shown, but counted in no series and no alert."""


class Mention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A company named in an article.

    Attributes:
        company: its key, such as "AAPL" or "600519.SH"
        surface: the words that name it in the text
        sector: key of its sector; "" if unknown
        role: "speaker" for a bank, an agency or a newspaper that only speaks about others; "comparison" for a company that others are
            only compared with
    """

    company: Key
    surface: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    sector: Sector = ""
    role: Role = "subject"


class Article(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """One article as its source published it.

    Attributes:
        id: from `article_id`; also the Kafka key, so that all versions of an article are processed in order by one worker
        lsh_bands: LSH bands of title and text; two articles that share one may be copies
        flags: repairs by ingestion, such as "cut" (text too long), "zone" (the zone of the time is unknown or wrong, the source's was
            used) or "date" (no trustworthy time: `published_at` is a guess)
        trust: how far its source speaks for its link
        owner: who may revise the article, part of its identity; "" for its source alone. Read it with `revised_by`.
    """

    v: Literal[1] = SCHEMA_VERSION
    id: Annotated[str, msgspec.Meta(min_length=16, max_length=64)]
    url: Url = ""
    source: Source
    genre: Genre = "news"
    language: Language
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE_CHARS)] = ""
    text: Annotated[str, msgspec.Meta(max_length=MAX_TEXT_CHARS)] = ""
    published_at: Instant
    fetched_at: Instant
    mentions: tuple[Mention, ...] = ()
    lsh_bands: tuple[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)], ...] = ()
    flags: tuple[str, ...] = ()
    trust: Trust = "feed"
    owner: Annotated[str, msgspec.Meta(max_length=400)] = ""

    def __post_init__(self) -> None:
        if not (self.title or self.text):
            raise ValueError("an article needs a title or a text")
        _check_times(self, "published_at", "fetched_at")

    @property
    def revised_by(self) -> str:
        """The owner: only an article of the same id and owner is a version of this one."""
        return self.owner or source_owner(self.source)

    @property
    def counts(self) -> bool:
        """Whether series and alerts may count it: not without a trustworthy time, as old news would be counted as news of now."""
        return not UNCOUNTED_FLAGS.intersection(self.flags)

    @property
    def fingerprint(self) -> int:
        """A 63-bit hash of title and text, to detect changes of an article that is received again."""
        return text_fingerprint(self.title, self.text)


class CompanyScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sentiment towards one company in one article; the three probabilities sum to 1.

    Attributes:
        role: that of its mention; the sentiment towards a speaker counts for no series
    """

    company: Key
    sector: Sector = ""
    role: Role = "subject"
    p_negative: Share
    p_neutral: Share
    p_positive: Share


class WatchlistScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sentiment of one article towards a watchlist that it matches; the three probabilities sum to 1. name: the watchlist's key"""

    name: Key
    p_negative: Share
    p_neutral: Share
    p_positive: Share


MIN_MATERIALITY = 0.3
"""Default of the setting alert_min_materiality."""


class MaterialityScore(msgspec.Struct, frozen=True, kw_only=True):
    """Relevance of an article to prices: probabilities that its level of materiality is at least 1, 2 and 3.

    Attributes:
        p_background: level 1 or more: a company or a market is concerned
        p_relevant: level 2 or more: it bears on the prices of a company, a sector or a market; the figure that alerts use
        p_urgent: level 3: it is likely to move prices at once
    """

    p_background: Share
    p_relevant: Share
    p_urgent: Share

    @property
    def level(self) -> int:
        """The highest level, 0 to 3, with a probability of 0.5 or more."""
        return sum(p >= 0.5 for p in (self.p_background, self.p_relevant, self.p_urgent))


def is_material(materiality: MaterialityScore | None, least: float) -> bool:
    """Whether an article counts where P(level >= 2) must be `least` or more. One without the prediction (None) always does."""
    return materiality is None or materiality.p_relevant >= least


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The prediction of a model for one article. The three sentiment probabilities are calibrated and sum to 1.

    Attributes:
        genre: the article's genre; "news" in messages of older versions, which lack it
        topics, risks: topic or risk event key to probability, of those over their threshold
        watchlists: those that the article matches
        materiality: None from models that do not predict it
        counts: whether series and alerts count the article, as in Article.counts
        story: id of the first article of the near-duplicate cluster
        model: version of the model
    """

    v: Literal[1] = SCHEMA_VERSION
    id: Key
    source: Source
    genre: Genre = "news"
    language: Language
    published_at: Instant
    story: Key
    p_negative: Share
    p_neutral: Share
    p_positive: Share
    topics: dict[Key, Share]
    risks: dict[Key, Share] = {}
    companies: tuple[CompanyScore, ...] = ()
    watchlists: tuple[WatchlistScore, ...] = ()
    materiality: MaterialityScore | None = None
    counts: bool = True
    model: Name
    scored_at: Instant

    def __post_init__(self) -> None:
        _check_times(self, "published_at", "scored_at")

    def counts_for(self, min_materiality: float) -> bool:
        """Whether the article counts for a rule with this limit of P(level >= 2)."""
        return self.counts and is_material(self.materiality, min_materiality)

    @property
    def tone(self) -> float:
        """p_positive - p_negative, in [-1, 1]."""
        return self.p_positive - self.p_negative


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """An article with its score, as it is stored."""

    article: Article
    score: Score


Severity = Literal["info", "warning", "critical"]
RENAMED_SEVERITIES = {"watch": "info", "urgent": "warning", "flash": "critical"}
"""Old names of severities, for error messages."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One article behind an alert."""

    id: Key
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE_CHARS)]
    url: Url
    source: Source
    published_at: Instant
    p_negative: Share

    def __post_init__(self) -> None:
        _check_times(self, "published_at")


MAX_DECISIVE = 60
"""Maximum number of decisive articles in an alert, for webhooks under 20 kB."""


class WordCount(msgspec.Struct, frozen=True, kw_only=True):
    """A word and the number of an alert's stories that contain it."""

    word: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    stories: Count


class CompanyCount(msgspec.Struct, frozen=True, kw_only=True):
    """A company and the number of an alert's stories that name it."""

    company: Key
    stories: Count


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Negative stories of a series up to the end of an alert's window in equal steps, with the expected numbers.

    Attributes:
        expected: one number per step from the baseline; () without one
    """

    start: Instant
    step_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
    negative: Annotated[tuple[Count, ...], msgspec.Meta(max_length=100)]
    expected: Annotated[tuple[Amount, ...], msgspec.Meta(max_length=100)] = ()

    def __post_init__(self) -> None:
        _check_times(self, "start")


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The explanation of an alert.

    Attributes:
        stories: number of distinct stories examined in the window: negative ones, or of any sentiment if the rule counts all
        more: whether the window has more stories than were examined
        decisive_count: size of the smallest set of stories without which there would be no alert; 0 if unknown
        decisive_article_ids: one article for each story of that set, most negative first, at most MAX_DECISIVE
        read: number of most negative stories whose words and companies were counted
        words, companies: those most salient against the usual news, and those in most stories, first
        first_source, first_at: source and time of the first story in the window; "" and None without one
    """

    stories: Count = 0
    more: bool = False
    decisive_count: Count = 0
    decisive_article_ids: Annotated[tuple[Key, ...], msgspec.Meta(max_length=MAX_DECISIVE)] = ()
    read: Count = 0
    words: Annotated[tuple[WordCount, ...], msgspec.Meta(max_length=20)] = ()
    companies: Annotated[tuple[CompanyCount, ...], msgspec.Meta(max_length=20)] = ()
    first_source: Annotated[str, msgspec.Meta(max_length=200)] = ""
    first_at: Instant | None = None
    chart: Chart | None = None

    def __post_init__(self) -> None:
        if self.first_at is not None:
            _check_times(self, "first_at")


Measure = Literal["surprise", "negative_share", "mean_tone", "volume", "risk_event", "outage"]
"""The quantity that a rule evaluates. surprise: negative stories against the series' baseline; outage: hours without an article."""
LEVELS: tuple[Measure, ...] = ("negative_share", "mean_tone", "volume", "risk_event")
"""Measures that are compared with a fixed limit, independent of a baseline."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert of a rule on a series, by default because it had significantly more negative stories than its baseline predicts.

    Of an outage, the window begins with the last article, value and limit are hours, `sources` is the number of silent sources, and
    nothing else is counted.

    Attributes:
        id: from `alert_id`: the same for the same rule, series and window in every process; it is also sent as a header
        observed, expected: distinct negative stories in the window, and the number that the baseline predicts
        surprise: -log10 of the probability of `observed` or more by chance; 0 if the rule does not use it
        total: distinct stories of any sentiment in the window
        sources: distinct sources of the negative stories; for `volume` and `mean_tone` of all stories, for `risk_event` of those
            with the event
        measure: the quantity that the rule evaluates
        value, limit: its value and the limit; 0 and 0 for `surprise` with the learned threshold
        event: key of the risk event, from core.taxonomy
        min_materiality: P(level >= 2) from which the articles of the window were counted; 0: all were
    """

    v: Literal[1] = SCHEMA_VERSION
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,64}\Z")]
    rule: Name
    series: Name
    window_start: Instant
    window_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
    detected_at: Instant
    severity: Severity
    observed: Count
    expected: Amount
    surprise: Amount
    total: Count
    sources: Count
    evidence: Annotated[tuple[Evidence, ...], msgspec.Meta(max_length=100)] = ()
    measure: Measure = "surprise"
    value: Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)] = 0.0
    limit: Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)] = 0.0
    event: Annotated[str, msgspec.Meta(max_length=64)] = ""
    min_materiality: Share = 0.0
    why: Why | None = None

    def __post_init__(self) -> None:
        _check_times(self, "window_start", "detected_at")


def _check_times(record: msgspec.Struct, *names: str) -> None:
    """Raises ValueError for a time outside [OLDEST, NEWEST)."""
    for name in names:
        moment: datetime = getattr(record, name)
        if not OLDEST <= moment < NEWEST:
            raise ValueError(f"{name} {moment.isoformat()} is outside the years {OLDEST.year} to {NEWEST.year}")


def sha(*parts: str) -> str:
    """First 32 hex digits of the SHA-256 of the parts, joined by the unit separator U+001F."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def hash63(text: str) -> int:
    """63-bit BLAKE2b hash of a text, which fits the signed and unsigned integer columns of both stores."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> 1


def text_fingerprint(title: str, text: str) -> int:
    """The fingerprint of an article with this title and text."""
    return hash63(f"{title}\n{text}")


def source_owner(source: str) -> str:
    """The owner of articles that only their source may revise."""
    return f"source {source}"


def domain_owner(domain: str) -> str:
    """The owner of articles that every source on their link's own domain may revise."""
    return f"domain {domain}"


def token_owner(token: str, source: str) -> str:
    """The owner of articles that a program pushed: the same token, for the same source. token: its name"""
    return f"token {sha(token, source)}"


def article_id(*, url: str, source: str, guid: str, title: str, published_at: datetime, owner: str = "") -> str:
    """Identity of an article of one owner: its canonical URL, else its guid, else its title and time.

    No source can replace the article of another: with the same link it has an article of its own.

    Args:
        url: canonical (ingest.text.urls), or ""
        guid: the source's own id, or ""
        owner: as in Article
    """
    owner = owner or source_owner(source)
    if url:
        return sha("url", owner, url)
    if guid:
        return sha("guid", owner, guid)
    return sha("title", owner, title, published_at.astimezone(UTC).isoformat(timespec="seconds"))


def alert_id(rule: str, series: str, window_start: datetime) -> str:
    """Identity of an alert: deterministic, so that replays and further workers do not raise it twice."""
    return sha("alert", rule, series, window_start.astimezone(UTC).isoformat(timespec="seconds"))


CLOCK_TOLERANCE = timedelta(minutes=10)
"""A publication time further in the future than this is an error of its source."""


def clamp_published(published_at: datetime | None, fetched_at: datetime) -> tuple[datetime, bool]:
    """A plausible publication time.

    Returns:
        `published_at` if it is not more than CLOCK_TOLERANCE after `fetched_at` and in [OLDEST, NEWEST), else `fetched_at`; and
        whether it was replaced.
    """
    if published_at is None or not OLDEST <= published_at < NEWEST or published_at > fetched_at + CLOCK_TOLERANCE:
        return fetched_at, True
    return published_at, False


def encode(record: msgspec.Struct) -> bytes:
    """Compact JSON in UTF-8. Raises BadRecord for text with a lone surrogate, which UTF-8 cannot represent."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError as error:
        raise BadRecord(f"this {type(record).__name__} cannot be encoded: {error}", stage="encode") from error


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decode(data: bytes | None, kind: type[RecordT]) -> RecordT:
    """Decode a record of type `kind`. Raises BadRecord with the cause."""
    if not data:
        raise BadRecord("empty message (a tombstone)")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRecord(f"not a valid {kind.__name__}: {error}") from error
