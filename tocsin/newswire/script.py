"""The articles of the newswire and their publication times, determined by a seed, a start and a Plan. Pure.

history: `history_h` hours of back-dated stories, more frequent while markets are open
live:    ordinary stories at `per_minute`, generated minute by minute
  0 s ─── decoys: many positive technology stories · one recall that every newspaper copies ───▶ crisis_after_s
  crisis_after_s ─── the crisis: crisis_stories about one sector, and their copies ───▶ + crisis_lasts_s
"""

from __future__ import annotations

import random
import threading
from bisect import bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter

from core.records import Language
from tocsin.newswire.cast import PAPERS, InventedCompany, Newspaper, papers_of, sectors
from tocsin.newswire.grammar import BEIJING, EventTemplate, Kind, Tone, WireStory, candidates, grammar_of, quiet_event, write_story

LANGUAGES: tuple[Language, ...] = ("en", "zh")
_COPIES_OF_COPIED = 2.0  # mean of 1 to 3
_CLOSED_HOURS = 0.12
_HOURLY = (*(_CLOSED_HOURS,) * 7, 0.6, 1.0, 1.6, 1.5, 1.2, 0.8, 1.1, 1.4, 1.5, 1.2, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Relative number of articles per local hour, from midnight; markets open at 9."""
_WEEKEND = 0.35
"""Relative number of articles on Saturdays and Sundays, in histories of more than a week."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Parameters of the newswire.

    Attributes:
        history_h: length of the history in hours.
        history_articles, per_minute: numbers of articles, copies included.
        lively_s: seconds at `per_minute`, fifty times the rate of the history; then it continues at the rate of the history. A
            constant high rate would rightly raise alerts: 10 to 21 in 20 minutes at 40 per minute, instead of 0 or 1.
        copied_share: fraction of stories that 1 to 3 other newspapers republish.
        crisis_sector: "" for no crisis and no decoys.
        crisis_after_s, crisis_lasts_s: start and length of the crisis in seconds.
        crisis_stories: number of stories of the crisis.
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
        """Number of articles to publish in a minute after the start."""
        if minute * 60 < self.lively_s or not self.history_h:
            return self.per_minute
        return min(self.per_minute, self.history_articles / (self.history_h * 60))

    @property
    def articles_per_story(self) -> float:
        """Expected number of articles per story."""
        return 1 + self.copied_share * _COPIES_OF_COPIED


@dataclass(frozen=True, slots=True)
class PublishedArticle:
    """One article of one newspaper.

    Attributes:
        url: path on the newspaper's site; a full URL in Newswire.published.
        story: id of its story, the same for all copies.
        copy: whether another newspaper published the story first.
        paragraphs: the text.
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
        """Whether it is part of the crisis."""
        return self.kind == "crisis"

    @property
    def text(self) -> str:
        """The paragraphs, one per line."""
        return "\n".join(self.paragraphs)


def edition(
    rng: random.Random, story: WireStory, paper: Newspaper, *, published_at: datetime, copy: bool, number: int = 0
) -> PublishedArticle:
    """The story as published by `paper`. A copy has a headline prefix, another closing sentence and a credit."""
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
    """The subject of the event and a second company, of the same sector if the event is restricted to one."""
    fitting = candidates(event, sector)
    if len(fitting) < 2:
        fitting = [*fitting, *candidates(event)]
    return rng.sample(fitting, 2)


def _publish(rng: random.Random, story: WireStory, plan: Plan, delay_s: tuple[int, int]) -> Iterator[PublishedArticle]:
    """The original article of a story and its copies in 1 to 3 other newspapers."""
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
        articles += [article for article in _publish(rng, story, plan, (60, 3600)) if article.published_at < start]
        number += 1
    return _in_order(articles[: plan.history_articles])


def _busy_moment(rng: random.Random, begin: datetime, end: datetime, language: Language) -> datetime:
    """A random whole second in [begin, end), weighted by local hour and, in long histories, by weekday."""
    span = int((end - begin).total_seconds())
    while True:
        moment = begin + timedelta(seconds=rng.randrange(span))
        local = moment.astimezone(BEIJING if language == "zh" else UTC)
        weekend = _WEEKEND if span > 7 * 86_400 and local.weekday() >= 5 else 1.0
        if rng.random() * max(_HOURLY) < _HOURLY[local.hour] * weekend:
            return moment


def live_minute(seed: int, start: datetime, plan: Plan, minute: int) -> list[PublishedArticle]:
    """The articles of stories first published in minute `minute` after `start`, in order; copies may be later."""
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
        articles += _publish(rng, story, plan, (3, 40))
    return _in_order(articles)


def crisis(seed: int, start: datetime, plan: Plan) -> list[PublishedArticle]:
    """The articles of the crisis, in order, the first one at start + crisis_after_s. Empty without a crisis_sector.

    Every story has a different combination of event and company; languages alternate.
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
        articles += _publish(rng, story, plan, (2, 12))
    return _in_order(articles)


def decoys(seed: int, start: datetime, plan: Plan) -> list[PublishedArticle]:
    """Articles that must not raise an alert, before the crisis: many positive stories, and one negative story in seven articles."""
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
        articles += _publish(rng, story, plan, (2, 12))
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


def weeks_of_history(seed: int, end: datetime, *, days: int = 28, per_day: int = 500) -> list[PublishedArticle]:
    """A long history with one crisis a week, each in another sector: ordinary days, weekends and alerts for charts and baselines.

    Args:
        seed: random seed.
        end: the history ends here, aware.
        days: its length.
        per_day: mean number of ordinary articles per day, copies included.

    Returns:
        All articles, oldest first.
    """
    articles = history(seed, end, Plan(history_h=24.0 * days, history_articles=per_day * days))
    rng = _seeded(f"{seed}:weeks")
    for week, sector in zip(range(days // 7), rng.sample(sectors(), len(sectors())), strict=False):
        begin = end - timedelta(days=days - 7 * week - rng.randrange(1, 6), hours=rng.randrange(4, 10))
        plan = Plan(crisis_sector=sector, crisis_after_s=0.0, crisis_lasts_s=3600.0, crisis_stories=24)
        articles += [replace(article, story=f"w{week}-{article.story}") for article in crisis(seed + week, begin, plan)]
    return _in_order([article for article in articles if article.published_at < end])


def _seeded(name: str) -> random.Random:
    """A separate random generator for each part of the script, so that changing one does not affect the others."""
    return random.Random(name)  # noqa: S311 -- stories, not secrets


def _in_order(articles: list[PublishedArticle]) -> list[PublishedArticle]:
    return sorted(articles, key=lambda article: (article.published_at, article.source, article.url))


_WHEN = attrgetter("published_at")
HISTORY_IN_LIVE_FEED = 5
"""So many of the newest history articles are in the feed instead of the archive, so that the feed is never empty."""


class Timeline:
    """All articles of one run. Thread safe. All times, including `start`, are whole seconds, as in feeds."""

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
        """Publication time of the first crisis article; None before that and without a crisis."""
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

    def _generate_until(self, now: datetime) -> datetime:
        """Generate the articles up to `now` or the freeze, whichever is first. Returns that time."""
        now = min(now, self._frozen_at or now)
        while self.start + timedelta(minutes=self._minutes) <= now:
            self._add(live_minute(self._seed, self.start, self._plan, self._minutes))
            self._minutes += 1
        return now

    def published(self, now: datetime) -> list[PublishedArticle]:
        """All articles published by `now`, oldest first."""
        with self._lock:
            return self._all[: bisect_right(self._all, self._generate_until(now), key=_WHEN)]

    def archive(self, source: str) -> list[PublishedArticle]:
        """The older history of a newspaper, oldest first; it never changes."""
        return self._by_paper[source][: self._archived[source]]

    def latest(self, source: str, now: datetime, limit: int) -> list[PublishedArticle]:
        """The newest `limit` articles of a newspaper that are not in its archive, oldest first."""
        with self._lock:
            articles = self._by_paper[source]
            end = bisect_right(articles, self._generate_until(now), key=_WHEN)
            return articles[max(self._archived[source], end - limit) : end]

    def article(self, source: str, path: str, now: datetime) -> PublishedArticle | None:
        """The article at `path`; None if it is not published yet."""
        with self._lock:
            moment = self._generate_until(now)
            article = self._by_path.get((source, path))
            return article if article is not None and article.published_at <= moment else None
