"""Who publishes what, and when? The whole run follows from a seed, a start and a Plan. Pure.

history: `history_h` hours of back-dated stories, busier when markets are open
live:    quiet stories at `per_minute`, made minute by minute without end
  0 s ─── decoys: a rush of good technology news · one recall that everybody copies ───▶ crisis_after_s
  crisis_after_s ─── the crisis: crisis_stories about one sector, and their copies ───▶ + crisis_lasts_s
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from core.records import Language
from tocsin.newswire.cast import PAPERS, InventedCompany, Newspaper, papers_of, sectors
from tocsin.newswire.grammar import BEIJING, EventTemplate, Kind, Tone, WireStory, candidates, grammar_of, quiet_event, write_story

LANGUAGES: tuple[Language, ...] = ("en", "zh")
_COPIES_OF_COPIED = 2.0  # mean of 1 to 3
_ASSUMED_CLOSED = 0.12
_RHYTHM = (*(_ASSUMED_CLOSED,) * 7, 0.6, 1.0, 1.6, 1.5, 1.2, 0.8, 1.1, 1.4, 1.5, 1.2, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""How busy each local hour is, midnight first: markets open at 9."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the newswire does.

    history_articles, per_minute: copies included
    lively_s: so long it publishes `per_minute`, fifty times what the history lets expect, and then as much as the history did.
        Were it to go on, series would rightly ring: 10 to 21 alerts in 20 quiet minutes at 40 a minute, against 0 or 1 so
    copied_share: of stories that 1 to 3 other papers of the language republish
    crisis_sector: "" for no crisis; then there are no decoys either
    """

    history_h: float = 36.0
    history_articles: int = 900
    per_minute: float = 20.0
    lively_s: float = 120.0
    copied_share: float = 0.4
    crisis_sector: str = "real_estate"
    crisis_after_s: float = 20.0
    crisis_lasts_s: float = 40.0
    crisis_stories: int = 20

    def __post_init__(self) -> None:
        if self.crisis_sector and self.crisis_sector not in sectors():
            raise ValueError(f"no companies in sector {self.crisis_sector!r}; there are {', '.join(sectors())}")
        if min(self.history_h, self.history_articles, self.per_minute, self.lively_s, self.crisis_after_s, self.crisis_lasts_s) < 0:
            raise ValueError("durations, counts and rates of a Plan cannot be negative")
        if not 0 <= self.copied_share <= 1:
            raise ValueError(f"copied_share {self.copied_share} lies outside 0 to 1")

    def rate(self, minute: int) -> float:
        """Articles to publish in a minute after the start."""
        if minute * 60 < self.lively_s or not self.history_h:
            return self.per_minute
        return min(self.per_minute, self.history_articles / (self.history_h * 60))

    @property
    def articles_per_story(self) -> float:
        """Expected articles that one story becomes."""
        return 1 + self.copied_share * _COPIES_OF_COPIED


@dataclass(frozen=True, slots=True)
class PublishedArticle:
    """One article of one paper: a line of the ledger.

    url: the path on the paper's site; complete in the ledger of a running newswire
    story: id of the story that it tells; equal for all copies
    copy: whether another paper had it first
    paragraphs: the text
    """

    url: str
    title: str
    source: str
    published_at: datetime
    story: str
    tone: Tone
    sector: str
    kind: Kind
    topic: str
    language: Language
    companies: tuple[str, ...]
    copy: bool
    paragraphs: tuple[str, ...] = field(repr=False)

    @property
    def crisis(self) -> bool:
        """Whether it tells of the crisis."""
        return self.kind == "crisis"

    @property
    def text(self) -> str:
        """The paragraphs, one a line."""
        return "\n".join(self.paragraphs)


def edition(
    rng: random.Random, story: WireStory, paper: Newspaper, *, published_at: datetime, copy: bool, number: int = 0
) -> PublishedArticle:
    """The story as `paper` prints it. A copy has another headline prefix, another closing line and names the agency."""
    title, closing = story.title, story.closing
    local = published_at.astimezone(BEIJING if paper.language == "zh" else UTC)
    date = f"{local.month}月{local.day}日" if paper.language == "zh" else f"{local:%b} {local.day}"
    lead = paper.dateline.format(city=story.city, date=date, name=paper.name) + story.sentences[0]
    middle = list(story.sentences[1:])
    if copy:
        words = grammar_of(paper.language)
        title = rng.choice(words.copies["prefixes"]) + title
        credit = rng.choice(words.copies["credits"]).format(source=paper.name, agency=rng.choice(words.values["agency"]))
        closing = " ".join((rng.choice(story.closings), credit)) if paper.language == "en" else rng.choice(story.closings) + credit
        lead = story.sentences[0]
    return PublishedArticle(
        url=f"/{published_at:%Y/%m/%d}/{story.id}{f'-{number}' if number else ''}.html",
        title=title,
        source=paper.name,
        published_at=published_at,
        story=story.id,
        tone=story.tone,
        sector=story.sector,
        kind=story.kind,
        topic=story.topic,
        language=story.language,
        companies=story.companies,
        copy=copy,
        paragraphs=(lead, *middle, closing),
    )


def _cast(rng: random.Random, event: EventTemplate, sector: str = "") -> list[InventedCompany]:
    """The company that it happens to and another one: of the same sector when the event is about that sector."""
    fitting = candidates(event, sector)
    if len(fitting) < 2:
        fitting = [*fitting, *candidates(event)]
    return rng.sample(fitting, 2)


def _printed(rng: random.Random, story: WireStory, plan: Plan, delay_s: tuple[int, int]) -> Iterator[PublishedArticle]:
    """The story in the paper that has it first, and its copies in 1 to 3 others."""
    papers = papers_of(story.language)
    first = rng.choices(papers, weights=[paper.weight for paper in papers])[0]
    yield edition(rng, story, first, published_at=story.published_at, copy=False)
    if rng.random() < plan.copied_share:
        others = [paper for paper in papers if paper != first]
        for paper in rng.sample(others, rng.randint(1, len(others))):
            later = story.published_at + timedelta(seconds=rng.randint(*delay_s))
            yield edition(rng, story, paper, published_at=later, copy=True)


def history(seed: int, start: datetime, plan: Plan) -> list[PublishedArticle]:
    """The back-dated articles in [start - history_h, start), oldest first."""
    rng = _seeded(f"{seed}:history")
    begin = start - timedelta(hours=plan.history_h)
    articles: list[PublishedArticle] = []
    number = 0
    while len(articles) < plan.history_articles and plan.history_h > 0:
        language = LANGUAGES[number % 2]
        event = quiet_event(rng, language)
        moment = _busy_moment(rng, begin, start, language)
        story = write_story(rng, event, story=f"h{number:04d}", kind="quiet", language=language, moment=moment, cast=_cast(rng, event))
        articles += [article for article in _printed(rng, story, plan, (60, 3600)) if article.published_at < start]
        number += 1
    return _in_order(articles[: plan.history_articles])


def _busy_moment(rng: random.Random, begin: datetime, end: datetime, language: Language) -> datetime:
    """A whole second in [begin, end), more often in the busy hours of Shanghai or London."""
    span = int((end - begin).total_seconds())
    while True:
        moment = begin + timedelta(seconds=rng.randrange(span))
        hour = moment.astimezone(BEIJING if language == "zh" else UTC).hour
        if rng.random() * max(_RHYTHM) < _RHYTHM[hour]:
            return moment


def live_minute(seed: int, start: datetime, plan: Plan, minute: int) -> list[PublishedArticle]:
    """The articles whose story breaks in minute `minute` after `start`, in order; their copies may follow in the next one."""
    rng = _seeded(f"{seed}:live:{minute}")
    begin = start + timedelta(minutes=minute)
    count = plan.rate(minute) / plan.articles_per_story
    stories = int(count) + (rng.random() < count % 1)
    articles: list[PublishedArticle] = []
    for number in range(stories):
        language = LANGUAGES[number % 2]
        event = quiet_event(rng, language)
        moment = begin + timedelta(seconds=rng.randrange(60))
        name = f"q{minute:04d}-{number:02d}"
        story = write_story(rng, event, story=name, kind="quiet", language=language, moment=moment, cast=_cast(rng, event))
        articles += _printed(rng, story, plan, (3, 40))
    return _in_order(articles)


def crisis(seed: int, start: datetime, plan: Plan) -> list[PublishedArticle]:
    """The articles of the crisis, in order; the first one at start + crisis_after_s. Empty without a crisis_sector.

    Every story is another pair of event and company; languages take turns.
    """
    if not plan.crisis_sector:
        return []
    rng = _seeded(f"{seed}:crisis")
    begin = start + timedelta(seconds=round(plan.crisis_after_s))
    used: set[tuple[Language, int, str]] = set()
    articles: list[PublishedArticle] = []
    for number in range(plan.crisis_stories):
        language = LANGUAGES[number % 2]
        events = [
            (index, event)
            for index, event in enumerate(grammar_of(language).crisis)
            if not event.sectors or plan.crisis_sector in event.sectors
        ]
        while True:
            index, event = rng.choice(events)
            cast = _cast(rng, event, plan.crisis_sector)
            if (language, index, cast[0].key) not in used or len(used) >= 6 * len(events):
                break
        used.add((language, index, cast[0].key))
        offset = 0 if number == 0 else rng.uniform(0, plan.crisis_lasts_s)
        moment = begin + timedelta(seconds=int(offset))
        story = write_story(rng, event, story=f"c{number:03d}", kind="crisis", language=language, moment=moment, cast=cast)
        articles += _printed(rng, story, plan, (2, 12))
    return _in_order(articles)


def decoys(seed: int, start: datetime, plan: Plan) -> list[PublishedArticle]:
    """What looks like a crisis and is none, before the crisis: many good stories, and one bad one printed seven times."""
    if not plan.crisis_sector:
        return []
    rng = _seeded(f"{seed}:decoys")
    span = max(1, int(plan.crisis_after_s * 0.8))
    articles: list[PublishedArticle] = []
    for number in range(14):
        language = LANGUAGES[number % 2]
        event = next(event for event in grammar_of(language).decoy if event.kind == "launch")
        moment = start + timedelta(seconds=rng.randrange(span))
        story = write_story(rng, event, story=f"d{number:03d}", kind="decoy", language=language, moment=moment, cast=_cast(rng, event))
        articles += _printed(rng, story, plan, (2, 12))
    language = rng.choice(LANGUAGES)
    event = next(event for event in grammar_of(language).decoy if event.kind == "recall")
    sector = "autos" if plan.crisis_sector != "autos" else "consumer"
    moment = start + timedelta(seconds=span // 4)
    recall = write_story(rng, event, story="d900", kind="decoy", language=language, moment=moment, cast=_cast(rng, event, sector))
    first, *others = papers_of(language)
    articles.append(edition(rng, recall, first, published_at=moment, copy=False))
    for number, paper in enumerate([*others, *others], start=1):
        later = moment + timedelta(seconds=rng.randint(1, max(2, span // 2)))
        articles.append(edition(rng, recall, paper, published_at=later, copy=True, number=number))
    return _in_order(articles)


def _seeded(name: str) -> random.Random:
    """A generator of its own for each part of the script, so that changing one leaves the others alone."""
    return random.Random(name)  # noqa: S311 -- stories, not secrets


def _in_order(articles: list[PublishedArticle]) -> list[PublishedArticle]:
    return sorted(articles, key=lambda article: (article.published_at, article.source, article.url))


_WHEN = attrgetter("published_at")
HISTORY_IN_LIVE_FEED = 5
"""The archive holds the history but for its last few articles, so that a paper's feed is never empty and shares none with it."""


class Timeline:
    """All articles of one run. Safe for threads. `start` is a whole second: so are all times in feeds."""

    def __init__(self, seed: int, start: datetime, plan: Plan) -> None:
        self._seed, self.start, self._plan = seed, start.replace(microsecond=0), plan
        self._lock = threading.Lock()
        self._minutes = 0
        self._frozen_at: datetime | None = None
        self._all: list[PublishedArticle] = []
        self._by_paper: dict[str, list[PublishedArticle]] = {paper.name: [] for paper in PAPERS}
        self._by_path: dict[tuple[str, str], PublishedArticle] = {}
        past = history(seed, self.start, plan)
        self._crisis = crisis(seed, self.start, plan)
        self._add([*past, *decoys(seed, self.start, plan), *self._crisis])
        self._archived = {
            name: max(0, bisect_right(articles, self.start - timedelta(seconds=1), key=_WHEN) - HISTORY_IN_LIVE_FEED)
            for name, articles in self._by_paper.items()
        }

    def crisis_began(self, now: datetime) -> datetime | None:
        """When the first story of the crisis was published; None before that, and without a crisis."""
        at = self._crisis[0].published_at if self._crisis else None
        return at if at is not None and at <= min(now, self._frozen_at or now) else None

    def _add(self, articles: list[PublishedArticle]) -> None:
        for article in articles:
            insort(self._all, article, key=_WHEN)
            insort(self._by_paper[article.source], article, key=_WHEN)
            self._by_path[article.source, article.url] = article

    def freeze(self, now: datetime) -> None:
        """Publish nothing after `now`."""
        with self._lock:
            self._frozen_at = min(now, self._frozen_at or now)

    def _reach(self, now: datetime) -> datetime:
        """Make the articles up to `now` (or the freeze, if that came first), and return that moment."""
        now = min(now, self._frozen_at or now)
        while self.start + timedelta(minutes=self._minutes) <= now:
            self._add(live_minute(self._seed, self.start, self._plan, self._minutes))
            self._minutes += 1
        return now

    def published(self, now: datetime) -> list[PublishedArticle]:
        """Everything visible at `now`, oldest first."""
        with self._lock:
            return self._all[: bisect_right(self._all, self._reach(now), key=_WHEN)]

    def archive(self, source: str) -> list[PublishedArticle]:
        """The older part of a paper's history, oldest first: never changes."""
        return self._by_paper[source][: self._archived[source]]

    def latest(self, source: str, now: datetime, limit: int) -> list[PublishedArticle]:
        """The newest `limit` articles of a paper that are not in its archive, oldest first."""
        with self._lock:
            articles = self._by_paper[source]
            end = bisect_right(articles, self._reach(now), key=_WHEN)
            return articles[max(self._archived[source], end - limit) : end]

    def article(self, source: str, path: str, now: datetime) -> PublishedArticle | None:
        """The article of a paper at `path`; None where there is none yet."""
        with self._lock:
            moment = self._reach(now)
            article = self._by_path.get((source, path))
            return article if article is not None and article.published_at <= moment else None
