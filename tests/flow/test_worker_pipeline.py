"""The pipeline over a real store, without Kafka: what holds however messages are cut into batches, repeated or reordered."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import REGISTRY

from core.errors import ModelError, StoreError
from core.records import Alert, Article, Score, Scored, decode, encode, sha
from core.series import MARKET, company_series
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from stats.spikes import Spike
from storage.clickhouse import Embedded
from storage.store import AlertTable, ArticleTable, Delivery, MinuteCounts, PeakRow, LastAlert, Store
from stream.detection.minute_counts_cache import TTL_S, MinuteCountsCache
from stream.detection.spike_rule import SpikeRule
from stream.detection.threshold import AlertThreshold
from stream.worker.batches import Raw
from stream.worker.pipeline import ClassifiedBatch, Pipeline
from stream.worker.retry import DutyCycle
from tests.helpers.worker import article

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule(warmup_s=3600, false_per_week=100)
UNHURRIED = DutyCycle(share=1.0)
TABLES = ("articles", "article_keys", "lsh_bands", "mentions", "alerts", "deliveries", "dead_letters", "dead_letter_states", "peaks")


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(Embedded(tmp_path_factory.mktemp("pipeline") / "store"))
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in TABLES:
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def news(name: str, minute: float, *, bad: bool = False, **more: object) -> Article:
    return article(name, bad=bad, published_at=at(minute), source=str(more.pop("source", f"s{int(sha(name)[:2], 16) % 4}")), **more)  # type: ignore[arg-type]


def raws(articles: Sequence[Article], first: int = 0) -> list[Raw]:
    return [Raw("articles", 0, first + n, item.id.encode(), encode(item)) for n, item in enumerate(articles)]


def calm() -> list[Article]:
    return [news(f"calm-{n}", -60 * n - 60) for n in range(30)]


def crisis() -> list[Article]:
    return [news(f"crisis-{n}", 0.8 * n, bad=True) for n in range(25)]


def rows(store: Store) -> list[tuple[object, ...]]:
    """All of articles and mentions but the times of writing."""
    articles = store.client.query("SELECT id, title, toUInt32(published_at), story, p_negative, topics FROM articles FINAL ORDER BY id")
    mentions = store.client.query("SELECT series, toUInt32(published_at), id, story, negative FROM mentions FINAL ORDER BY series, id")
    return [(*row[:-1], tuple(row[-1])) if isinstance(row[-1], list) else row for row in articles + mentions]


def run(store: Store, batches: Sequence[Sequence[Article]], now: datetime, *, ahead: int = 0) -> list[Alert]:
    """Each batch through score and watch, `ahead` ones drafted before the one before them is kept; what rang, in order."""
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    drafted: list[ClassifiedBatch] = []
    rang: list[Alert] = []
    for batch in [*batches, *[[]] * ahead]:
        drafted.append(pipeline.draft(raws(batch), now))
        if len(drafted) > ahead:
            rang += pipeline.watch(pipeline.keep(drafted.pop(0), now).scores, now)
    pipeline.close()
    return rang


@pytest.mark.parametrize("seed", range(4))
def test_however_the_stream_is_cut_repeated_and_reordered_the_store_is_the_same(store: Store, seed: int):
    rng = random.Random(seed)
    articles = [
        *calm(),
        *crisis(),
        *[news(f"copy-{n}", n, bad=True, bands=[5, 6 + n % 2]) for n in range(6)],
    ]
    run(store, [articles], at(30))
    once = rows(store)
    for table in TABLES:
        store.client.command(f"TRUNCATE TABLE {table}")
    shuffled = rng.sample(articles, len(articles)) if seed % 2 else articles
    batches = []
    rest = list(shuffled)
    while rest:
        size = rng.randint(1, 9)
        batches += [rest[:size]] * rng.choice([1, 1, 2])
        rest = rest[size:]
    run(store, batches, at(30), ahead=seed // 2)
    if seed % 2 == 0:
        assert rows(store) == once
    else:  # the first copy that arrives names the story: which one is the order's, that it is one is not
        assert [row[:3] for row in rows(store)] == [row[:3] for row in once]
    assert store.articles.totals().stories == 30 + 25 + 1
    assert store.articles.doubled() == 0


def test_one_episode_rings_once_in_whatever_batches_it_comes(store: Store):
    run(store, [calm()], at(-30))
    rang: list[Alert] = []
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    for n, item in enumerate(crisis()):
        now = at(0.8 * n + 0.2)
        rang += pipeline.watch(pipeline.score(raws([item], n), now).scores, now)
    by_series = [alert.series for alert in rang]
    assert company_series("STAR") in by_series
    assert len(by_series) == len(set(by_series)) == store.alerts.count()
    star = next(alert for alert in rang if alert.series == company_series("STAR"))
    assert star.observed >= 3 and len(star.evidence) == min(star.observed, 6)
    assert all(item.p_negative > 0.3 for item in star.evidence)


def test_a_restarted_worker_hands_an_alert_on_again_and_raises_no_other(store: Store):
    """Between storing and publishing an alert a crash may come: its articles come again, perhaps cut differently."""
    run(store, [calm()], at(-30))
    first = run(store, [crisis()], at(21))
    again = run(store, [crisis()[:20], crisis()[20:]], at(22))
    assert {alert.id for alert in again} == {alert.id for alert in first}
    assert len(again) == len(first) == store.alerts.count() > 0


def test_who_begins_to_watch_finds_what_the_scores_would_have_shown(store: Store):
    """The scores were stored, and their messages are gone: a broker in memory died, or the topic kept them too short a time."""
    run(store, [calm()], at(-30))
    stored = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    stored.score(raws(crisis()), at(21))
    rang = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED).catch_up(at(22))
    assert company_series("STAR") in [alert.series for alert in rang]
    assert store.alerts.count() == len(rang)
    again = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    assert {alert.id for alert in again.catch_up(at(23))} == {alert.id for alert in rang}
    assert again.catch_up(at(24)) == []
    assert Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED).catch_up(at(300)) == []  # history


def test_a_replay_after_a_crash_before_publishing_scores_nothing_twice_but_hands_all_scores_on(store: Store):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    first = pipeline.score(raws(crisis()), at(21))
    second = pipeline.score(raws(crisis()), at(22))
    assert (first.scored, first.repeated, second.scored, second.repeated) == (25, 0, 0, 25)
    assert [score.id for score in second.scores] == sorted(score.id for score in first.scores)
    before = {score.id: score for score in first.scores}
    for score in second.scores:
        assert score.p_negative == pytest.approx(before[score.id].p_negative, abs=1e-6)
        assert (score.story, score.published_at, score.model) == (before[score.id].story, before[score.id].published_at, "keyword-1")
        assert [c.company for c in score.companies] == ["STAR"] and score.companies[0].sector == "energy"
    assert pipeline.score(raws(crisis()), at(24 * 60)).scores == []  # an archive that is loaded again has nothing to watch


def test_a_batch_that_was_drafted_early_learns_what_the_one_before_it_stored(store: Store):
    """An article is stored; the next batch changes its words, and the one after it, drafted already, changes them back."""
    first, changed = news("a", 0, text="Oil falls."), news("a", 0, text="Oil rises.")
    run(store, [[first]], at(1))
    run(store, [[changed], [first, news("b", 0)], [first]], at(2), ahead=1)
    assert store.client.query("SELECT text FROM articles FINAL WHERE id = {id:String}", id=first.id) == [("Oil falls.",)]
    assert (store.articles.totals().articles, store.articles.doubled(), store.dead_letters.count()) == (2, 0, 0)


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def test_other_words_for_a_known_article_are_counted_and_the_newer_ones_stay(store: Store):
    """Neither a repetition nor a first arrival nor a new model is a conflict of words."""
    before = counted("tocsin_updated_total")
    first, changed = news("a", 0, text="Oil falls."), news("a", 5, text="Oil rises.")
    run(store, [[first], [first]], at(6))
    assert counted("tocsin_updated_total") == before
    run(store, [[changed, changed], [changed, news("b", 0)]], at(7))
    assert counted("tocsin_updated_total") == before + 1
    (row,) = store.articles.by_id([first.id])
    assert (row.text, row.published_at, row.story) == ("Oil rises.", first.published_at, first.id)


def test_odd_characters_reach_the_store_and_an_alert_as_they_came(store: Store):
    run(store, [calm()], at(-30))
    odd = "nul\x00, lost \ufffd, \x1b[31mred\x1b[0m, \u202egnp.exe, 债务违约"
    rang = run(store, [[msgspec.structs.replace(item, title=f"{odd} {item.title}") for item in crisis()]], at(21))
    assert store.dead_letters.count() == 0
    assert all(row.title.startswith(odd) for row in store.articles.latest(25))
    assert rang and all(item.title.startswith(odd) for alert in store.alerts.latest() for item in alert.evidence)


class Asked:
    """Which series' minutes were asked of the store since when, each time."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.since: list[tuple[list[str], datetime]] = []
        self._real = store.mentions.minutes
        monkeypatch.setattr(store.mentions, "minutes", self._minutes)

    def _minutes(self, series: Sequence[str], since: datetime, until: datetime) -> dict[str, MinuteCounts]:
        if series:
            self.since.append((list(series), since))
        return self._real(series, since, until)

    def take(self) -> list[tuple[list[str], datetime]]:
        taken, self.since = self.since, []
        return taken


def test_the_past_is_asked_once_and_again_from_a_late_story_on(store: Store, monkeypatch: pytest.MonkeyPatch):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    pipeline.score(raws(calm()), at(0))
    asked, clock = Asked(store, monkeypatch), [0.0]
    tallies = MinuteCountsCache(store.mentions, 7 * 86_400, lambda: clock[0])
    star, both, past = company_series("STAR"), [company_series("STAR"), MARKET], at(-7 * 1_440)
    found = tallies.of([star], at(5))
    assert {name: int(tally.total.sum()) for name, tally in found.items()} == {star: 30, MARKET: 30}
    assert asked.take() == [(both, past), (both, at(0))]
    new = pipeline.score(raws([news("new", 1, bad=True)]), at(6)).scores
    assert tallies.heard(new) == set()  # of the newest minutes, which are asked in any case
    again = tallies.of([star], at(7))
    assert {name: (int(tally.negative.sum()), int(tally.total.sum())) for name, tally in again.items()} == {star: (1, 31), MARKET: (1, 31)}
    assert asked.take() == [(both, at(0))]
    late = pipeline.score(raws([news("late", -300)]), at(8)).scores
    assert int(tallies.of([star], at(8))[star].total.sum()) == 31  # nobody told
    assert tallies.heard(late) >= {star, MARKET}
    asked.take()
    assert int(tallies.of([star], at(8))[star].total.sum()) == 32
    assert asked.take() == [(both, at(-300)), (both, at(0))]
    clock[0] = TTL_S + 1  # another worker's late stories come by as scores; should one be lost, it is seen by now
    tallies.of([MARKET], at(9))
    assert asked.take() == [([MARKET], past), ([MARKET], at(0))]
    assert {name: int(tally.total.sum()) for name, tally in tallies.of([star], at(61)).items()} == {star: 32, MARKET: 32}
    assert asked.take() == [([star], past), ([MARKET], at(0)), (both, at(55))]


def test_the_bar_of_an_hour_is_the_same_after_a_restart_and_is_learned_from_the_peaks_before_it(store: Store):
    run(store, [calm()], at(-30))
    before = AlertThreshold(RULE, store.peaks, store.mentions)
    theory = before.at(at(5))
    assert before.feed_sources(at(5)) == 4
    store.peaks.began(RULE.name, at(0) - timedelta(days=30))
    moments = [PeakRow(f"topic:t{n}", at(-700 * n), 900, 12.0 + n % 7) for n in range(1, 60)]
    store.peaks.note(RULE.name, [PeakRow("", at(0) - timedelta(days=40), 0, 0.0), *moments])
    assert before.at(at(59)) == theory  # once an hour
    learned = AlertThreshold(RULE, store.peaks, store.mentions).at(at(5))
    assert learned > theory + 3
    first = AlertThreshold(RULE, store.peaks, store.mentions)
    for surprise in (9.0, 25.0, 14.0):
        spike = Spike(int(at(3).timestamp()), 900, 9, 0.1, 0.25, surprise)
        if first.worth_noting("company:STAR", spike):
            first.note("company:STAR", spike)
        first.keep()
    assert not first.worth_noting("company:STAR", spike)
    run(store, [[news("odd", 4, bad=True, source="新浪")]], at(5))  # a source that is new in this hour
    restarted = AlertThreshold(RULE, store.peaks, store.mentions)
    assert (restarted.at(at(40)), restarted.feed_sources(at(40))) == (learned, 4)
    assert [peak.surprise for peak in store.peaks.since(RULE.name, at(0))] == [25.0]  # the greatest, whoever notes what
    restarted.note("company:STAR", spike)
    restarted.keep()
    assert [peak.surprise for peak in store.peaks.since(RULE.name, at(0))] == [25.0]
    assert restarted.at(at(61)) != learned
    assert restarted.feed_sources(at(61)) == 5


def test_one_source_that_floods_rings_no_bell_with_one_story_of_another(store: Store):
    """B27: and as soon as others bear it out, it does."""
    run(store, [calm()], at(-30))
    strict = SpikeRule(warmup_s=3600, false_per_week=0.01)  # so that the bar is that of hundreds of series
    pipeline = Pipeline(KeywordClassifier(), store, strict, pace=UNHURRIED)

    def told(articles: list[Article], minute: float) -> list[Alert]:
        return pipeline.watch(pipeline.score(raws(articles), at(minute)).scores, at(minute))

    assert told([news(f"flood-{n}", n / 5, bad=True, source="loud") for n in range(30)], 7) == []
    assert told([news("flood-echo", 7, bad=True, source="s1")], 8) == []
    rang = told([news(f"borne-{n}", 8, bad=True, source=f"s{n}") for n in range(3)], 9)
    assert company_series("STAR") in [alert.series for alert in rang]


def test_history_that_is_loaded_rings_nothing(store: Store):
    assert run(store, [calm(), crisis()], at(24 * 60)) == []
    assert store.alerts.count() == 0


def test_a_company_never_heard_of_before_rings_once_news_are_followed_long_enough(store: Store):
    def other(name: str) -> Article:
        item = news(name, 1, bad=True)
        return msgspec.structs.replace(item, mentions=(msgspec.structs.replace(item.mentions[0], company="NEW", sector=""),))

    run(store, [calm()], at(-30))
    rang = run(store, [[other(f"n{n}") for n in range(12)]], at(2))
    assert company_series("NEW") in [alert.series for alert in rang]


def test_many_sources_are_needed_and_copies_are_one_story(store: Store):
    run(store, [calm()], at(-30))
    assert run(store, [[news(f"one-{n}", n / 4, bad=True, source="same") for n in range(20)]], at(6)) == []
    assert run(store, [[news(f"copy-{n}", 300 + n / 4, bad=True, bands=[9]) for n in range(20)]], at(306)) == []


NAN = SentimentProbabilities(math.nan, math.nan, math.nan)


class Failing(KeywordClassifier):
    """Fails as told: called with the documents of each call, empty texts left out, which no network ever sees."""

    def __init__(self, fails: Callable[[list[Document]], str]) -> None:
        self._fails = fails

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        read = [document for document in documents if document.title or document.text]
        how = self._fails(read) if read else ""
        if how == "NaN":
            return [Prediction(NAN, {"other": math.nan}, (NAN,) * len(document.companies)) for document in documents]
        if how:
            raise RuntimeError(how)
        return super().classify(documents)


@pytest.mark.parametrize("how", ["CUDA out of memory", "NaN"])
def test_a_model_that_fails_on_everything_sets_nothing_aside(store: Store, how: str):
    with pytest.raises(ModelError, match="keyword-1"):
        Pipeline(Failing(lambda _: how), store, RULE).score(raws(crisis()), at(21))
    assert store.dead_letters.count() == 0
    assert store.articles.totals().articles == 0


@pytest.mark.parametrize("how", ["a kernel was busy", "NaN"])
@pytest.mark.parametrize("articles", [1, 25])
def test_what_a_model_meets_once_is_no_fault_of_an_article(store: Store, articles: int, how: str):
    met: list[str] = []

    def once(_read: list[Document]) -> str:
        met.append("" if met else how)
        return met[-1]

    batch = Pipeline(Failing(once), store, RULE, pace=UNHURRIED).score(raws(crisis()[:articles]), at(21))
    assert (batch.scored, batch.dead, store.dead_letters.count()) == (articles, [], 0)
    assert store.articles.totals().articles == articles


def test_a_batch_that_is_too_large_for_the_memory_is_scored_in_parts(store: Store):
    model = Failing(lambda read: "CUDA out of memory" if len(read) > 4 else "")
    batch = Pipeline(model, store, RULE, pace=UNHURRIED).score(raws(crisis()), at(21))
    assert (batch.scored, batch.dead) == (25, [])


@pytest.mark.parametrize("how", ["cannot be read", "NaN"])
def test_an_article_that_no_model_can_read_is_set_aside_and_the_rest_are_kept(store: Store, how: str):
    articles = crisis()
    bad = articles[7]
    pipeline = Pipeline(Failing(lambda read: how if any(bad.title == it.title for it in read) else ""), store, RULE, pace=UNHURRIED)
    batch = pipeline.score(raws(articles), at(21))
    assert [(letter.stage, letter.offset, letter.value) for letter in batch.dead] == [("model", 7, encode(bad))]
    assert sorted(score.id for score in batch.scores) == sorted({item.id for item in articles} - {bad.id})
    assert [letter.value for letter in store.dead_letters.latest(9)] == [encode(bad)]


class Picky(ArticleTable):
    """Refuses some articles for good; "*" refuses all."""

    refuses: frozenset[str] = frozenset()

    def insert(self, scored: Sequence[Scored]) -> None:
        if "*" in self.refuses or self.refuses & {item.article.id for item in scored}:
            raise StoreError("a value does not fit")
        super().insert(scored)


@pytest.fixture
def picky(store: Store) -> Iterator[Picky]:
    before = store.articles
    store.articles = made = Picky(store.client)
    yield made
    store.articles = before


def test_a_broker_that_counts_anew_takes_no_dead_letters_place(store: Store):
    """The embedded broker begins at offset 0 at each start: what was set aside before, or settled, stays as it is."""
    for era in ("1", "2"):
        pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED, era=era)
        batch = pipeline.score([Raw("articles", 0, 0, b"k", f"no record of era {era}".encode())], at(0))
        assert len(batch.dead) == 1
    found = store.dead_letters.latest()
    assert sorted(letter.name for letter in found) == ["articles@1/0/0", "articles@2/0/0"]
    store.dead_letters.settle(found[:1], "dropped")
    assert store.dead_letters.count() == 1


def test_a_row_that_the_store_refuses_is_set_aside_and_the_rest_are_kept(store: Store, picky: Picky):
    articles = crisis()
    bad = articles[7]
    picky.refuses = frozenset({bad.id})
    batch = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED).score(raws(articles), at(21))
    assert [(letter.stage, letter.offset, letter.value) for letter in batch.dead] == [("store", 7, encode(bad))]
    assert sorted(score.id for score in batch.scores) == sorted({item.id for item in articles} - {bad.id})
    assert list(store.articles.known([bad.id])) == []


def test_a_lone_row_is_to_blame_only_if_the_store_still_takes_another(store: Store, picky: Picky):
    bad = crisis()[7]
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    picky.refuses = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.score(raws([bad]), at(21))  # nothing shows that it is the row
    picky.refuses = frozenset({bad.id})
    pipeline.score(raws(calm()[:1]), at(21))
    assert [letter.stage for letter in pipeline.score(raws([bad]), at(21)).dead] == ["store"]
    picky.refuses = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.score(raws([bad]), at(21))
    assert store.dead_letters.count() == 1


class Choosy(AlertTable):
    """Refuses for good to look up some series and alerts; "*" refuses all."""

    refuses: frozenset[str] = frozenset()

    def last_alerts(self, rule: str, series: Sequence[str], since: datetime) -> dict[str, LastAlert]:
        self._check(series)
        return super().last_alerts(rule, series, since)

    def deliveries(self, alert_ids: Sequence[str]) -> list[Delivery]:
        self._check(alert_ids)
        return super().deliveries(alert_ids)

    def _check(self, names: Sequence[str]) -> None:
        if "*" in self.refuses or self.refuses.intersection(names):
            raise StoreError("a value does not fit")


@pytest.fixture
def choosy(store: Store) -> Iterator[Choosy]:
    before = store.alerts
    store.alerts = made = Choosy(store.client)
    yield made
    store.alerts = before


def of_another_company(name: str, minute: float) -> Article:
    item = news(name, minute, bad=True)
    return msgspec.structs.replace(item, mentions=(msgspec.structs.replace(item.mentions[0], company="ODD", sector=""),))


def as_messages(records: Sequence[Score] | Sequence[Alert], topic: str) -> list[Raw]:
    return [Raw(topic, 0, n, b"", encode(record)) for n, record in enumerate(records)]


def test_a_score_that_cannot_be_watched_is_set_aside_and_the_rest_still_ring(store: Store, choosy: Choosy):
    run(store, [calm()], at(-30))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    odd = [of_another_company(f"odd-{n}", n) for n in range(6)]
    scores = pipeline.score(raws([*crisis(), *odd]), at(21)).scores
    choosy.refuses = frozenset({company_series("ODD")})
    rang = pipeline.watch(pipeline.read(as_messages(scores, "scores"), Score, at(21)), at(21))
    assert company_series("STAR") in [alert.series for alert in rang]
    assert {alert.id for alert in rang} == {alert.id for alert in store.alerts.latest()}
    letters = store.dead_letters.latest()
    assert {(letter.topic, letter.stage) for letter in letters} == {("scores", "watch")}
    assert {decode(letter.value, Score).id for letter in letters} <= {item.id for item in odd}  # those whose window has enough of them
    assert "a value does not fit" in letters[0].reason


def test_an_alert_that_cannot_be_handed_on_is_set_aside(store: Store, choosy: Choosy):
    run(store, [calm()], at(-30))
    rang = run(store, [crisis()], at(21))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    choosy.refuses = frozenset({rang[0].id})
    for alert in pipeline.read(as_messages(rang, "alerts"), Alert, at(22)):
        assert pipeline.notify(alert) == []
    assert [(letter.topic, letter.offset, letter.stage) for letter in store.dead_letters.latest()] == [("alerts", 0, "notify")]


def test_a_store_that_refuses_everything_is_no_fault_of_a_score_or_an_alert(store: Store, choosy: Choosy):
    run(store, [calm()], at(-30))
    rang = run(store, [crisis()], at(21))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    scores = pipeline.score(raws(crisis()), at(22)).scores
    choosy.refuses = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.watch(pipeline.read(as_messages(scores, "scores"), Score, at(22)), at(22))
    (alert,) = pipeline.read(as_messages(rang[:1], "alerts"), Alert, at(22))
    with pytest.raises(StoreError):
        pipeline.notify(alert)
    assert store.dead_letters.count() == 0


def test_a_score_of_no_series_and_an_empty_batch_ask_for_nothing(store: Store):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, pace=UNHURRIED)
    assert pipeline.watch([], NOON) == []
    assert pipeline.score([], NOON).scores == []
    assert pipeline.read([], Score, NOON) == []
