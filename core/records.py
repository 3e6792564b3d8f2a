"""The records that travel: what is on the wire and in the store.

On the wire they are compact JSON. Decoding never trusts: what does not fit its type raises BadRecord with the reason,
so that the one bad record can be set aside and the rest go on.
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
"""A longer text is cut before it is sent: 20,000 characters are at most 80 kB of UTF-8, well under Kafka's 1 MB."""

OLDEST = datetime(1971, 1, 1, tzinfo=UTC)
NEWEST = datetime(2100, 1, 1, tzinfo=UTC)
"""ClickHouse's DateTime holds 1970 to 2106; a time outside these bounds is a mistake of its source."""

Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
Amount = Annotated[float, msgspec.Meta(ge=0.0, le=1e300)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Url = Annotated[str, msgspec.Meta(max_length=4_000)]
Sector = Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
"""What decodes can be stored, encoded again and made into a webhook: bounds are those of the columns, and no time overflows."""

Genre = Literal["news", "social", "filing"]
Language = Literal["zh", "en"]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
RecordT = TypeVar("RecordT")


class Mention(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A company named in an article.

    company: its key, such as "AAPL" or "600519.SH"
    surface: the words that name it in the text
    sector: the key of its sector; "" where it is not known
    """

    company: Key
    surface: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    sector: Sector = ""


class Article(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """One article as its source published it.

    id: from `article_id`; also the Kafka key, so that all versions of an article meet the same worker in order
    bands: MinHash bands of title and text; two articles that share one are versions of the same story
    fingerprint: of title and text, to see whether an article that comes again has changed
    flags: what ingestion had to mend, such as "cut" (text too long) or "date" (published_at not given, fetched_at taken)
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

    def __post_init__(self) -> None:
        if not (self.title or self.text):
            raise ValueError("an article needs a title or a text")
        _believable(self, "published_at", "fetched_at")

    @property
    def fingerprint(self) -> int:
        """A 63-bit hash of title and text: equal when a source sends the same words again."""
        digest = hashlib.blake2b(f"{self.title}\n{self.text}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") >> 1


class CompanyScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sentiment towards one company in one article; the three probabilities sum to 1."""

    company: Key
    sector: Sector = ""
    p_negative: Share
    p_neutral: Share
    p_positive: Share


class WatchlistScore(msgspec.Struct, frozen=True, kw_only=True):
    """Sentiment of one article towards a watchlist that it is on; the three probabilities sum to 1.

    name: the watchlist's key
    """

    name: Key
    p_negative: Share
    p_neutral: Share
    p_positive: Share


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What a model said of one article. The three probabilities are calibrated and sum to 1.

    genre: the article's; messages of older versions say none, and theirs were news for the most part
    topics, risks: topic or risk event key to probability, those that apply
    watchlists: those that the article is on
    story: id of the first article of the near-duplicate cluster
    model: version of the model that said so
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
    model: Name
    scored_at: Instant

    def __post_init__(self) -> None:
        _believable(self, "published_at", "scored_at")

    @property
    def tone(self) -> float:
        """In [-1, 1]."""
        return self.p_positive - self.p_negative


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """An article with its score: what the store keeps."""

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
        _believable(self, "published_at")


MAX_DECISIVE = 60
"""Ids of needed articles that an alert keeps: a webhook under 20 kB has room for as many."""


class WordCount(msgspec.Struct, frozen=True, kw_only=True):
    """A word and how many of an alert's stories hold it."""

    word: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    stories: Count


class CompanyCount(msgspec.Struct, frozen=True, kw_only=True):
    """A company and how many of an alert's stories name it."""

    company: Key
    stories: Count


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """Negative stories of a series up to the end of an alert's window, in equal steps, and what its past let expect of each.

    expected: () where there was no past to tell
    """

    start: Instant
    step_s: Annotated[int, msgspec.Meta(ge=1, le=366 * 86_400)]
    negative: Annotated[tuple[Count, ...], msgspec.Meta(max_length=100)]
    expected: Annotated[tuple[Amount, ...], msgspec.Meta(max_length=100)] = ()

    def __post_init__(self) -> None:
        _believable(self, "start")


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """What made an alert ring.

    stories: distinct ones in its window that were looked at: negative ones, or of any sentiment where its rule looks at all
    more: whether the window holds more of them than were looked at
    carried: how many of them the smallest set has without which it would not have rung; 0 where that cannot be said
    needed: ids of articles, one for each story of that set, most negative first, at most MAX_DECISIVE
    read: the most negative stories, so many of them, whose words and companies were counted
    words, companies: those that tell these stories from what is usual, and those in most of them, first
    first_source, first_at: who told the first of the stories in the window, and when; "" and None where nobody told any
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
            _believable(self, "first_at")


Measure = Literal["surprise", "negative_share", "mean_tone", "volume", "risk_event", "outage"]
"""What a rule looks at. surprise: negative stories against the series' own past; silence: hours without an article, likewise."""
LEVELS: tuple[Measure, ...] = ("negative_share", "mean_tone", "volume", "risk_event")
"""Those that are held against a number that an analyst chose, whatever the past was."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A rule rang for a series: by default, because it had more negative stories than its own past explains.

    id: from `alert_id`: the same for the same rule, series and window, whoever finds it and however often; it travels in a header
    observed, expected: distinct negative stories in the window, and how many its past lets expect
    surprise: -log10 of the probability of `observed` or more by chance; 0 where the rule does not ask for it
    total: distinct stories of any sentiment in the window; sources: distinct sources of the negative ones, of `volume` and
        `mean_tone` of all of them, of `risk_event` of those that tell of it
    measure: what the rule looks at; value: what it saw, limit: where it rings (0 and 0: `surprise` and what rang at that hour)
    event: key of the risk event that `risk_event` saw, of core.taxonomy
    of a silence: the window begins with the last article, value and limit are hours, sources are silent, and nothing else is counted
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
    why: Why | None = None

    def __post_init__(self) -> None:
        _believable(self, "window_start", "detected_at")


def _believable(record: msgspec.Struct, *names: str) -> None:
    """Raises ValueError for a time that the store cannot hold."""
    for name in names:
        moment: datetime = getattr(record, name)
        if not OLDEST <= moment < NEWEST:
            raise ValueError(f"{name} {moment.isoformat()} lies outside {OLDEST.year} to {NEWEST.year}")


def sha(*parts: str) -> str:
    """First 32 hex digits of the SHA-256 of the parts, told apart by a separator that text cannot hold."""
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def article_id(*, url: str, source: str, guid: str, title: str, published_at: datetime) -> str:
    """Identity of an article: its canonical URL, else its source's own id, else source, title and time.

    url: already canonical (ingest.text.urls), or ""
    """
    if url:
        return sha("url", url)
    if guid:
        return sha("guid", source, guid)
    return sha("title", source, title, published_at.astimezone(UTC).isoformat(timespec="seconds"))


def alert_id(rule: str, series: str, window_start: datetime) -> str:
    """Deterministic, so that a replay or a second worker never rings twice."""
    return sha("alert", rule, series, window_start.astimezone(UTC).isoformat(timespec="seconds"))


def clamp_published(published_at: datetime | None, fetched_at: datetime) -> tuple[datetime, bool]:
    """A believable publication time, and whether the source's had to be replaced by `fetched_at`.

    Believable: in [fetched_at - 100 years, fetched_at + 10 minutes] and inside what the store can hold.
    """
    if published_at is None or not OLDEST <= published_at < NEWEST or published_at > fetched_at + timedelta(minutes=10):
        return fetched_at, True
    return published_at, False


def encode(record: msgspec.Struct) -> bytes:
    """Compact JSON in UTF-8. Raises BadRecord for text that holds half of a surrogate pair: no UTF-8 can say it."""
    try:
        return msgspec.json.encode(record)
    except UnicodeEncodeError as error:
        raise BadRecord(f"this {type(record).__name__} cannot be sent: {error}", stage="encode") from error


_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decode(data: bytes | None, kind: type[RecordT]) -> RecordT:
    """The record of type `kind` in `data`. Raises BadRecord with the cause."""
    if not data:
        raise BadRecord("empty message (a tombstone)")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRecord(f"not a valid {kind.__name__}: {error}") from error
