"""The pipeline with a real store and without Kafka: batches, repetitions, restarts, failures of the model and of the store."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from core.errors import ModelError, StoreError
from core.records import Alert, Article, Score, Scored, decode, encode, sha
from core.series import MARKET, company_series
from ingest.text.near_duplicates import lsh_bands
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from stats.spikes import Spike
from storage.clickhouse import Embedded
from storage.store import AlertTable, ArticleTable, Delivery, LastAlert, MinuteCounts, PeakRow, Store
from stream.detection.minute_counts_cache import TTL_S, MinuteCountsCache
from stream.detection.spike_rule import SpikeRule
from stream.detection.threshold import AlertThreshold
from stream.retry import DutyCycle
from stream.worker.batches import RawMessage
from stream.worker.pipeline import ClassifiedBatch, Pipeline
from tests.helpers.worker import article

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
RULE = SpikeRule(warmup_s=3600, false_per_week=100)
FULL_DUTY = DutyCycle(share=1.0)
TABLES = (
    "articles",
    "article_keys",
    "lsh_bands",
    "article_links",
    "article_revisions",
    "mentions",
    "alerts",
    "deliveries",
    "dead_letters",
    "dead_letter_states",
    "peaks",
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(Embedded(tmp_path_factory.mktemp("pipeline") / "store"))
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def store(opened: Store) -> Store:
    for table in (*TABLES, "source_repeats"):
        opened.client.command(f"TRUNCATE TABLE {table}")
    return opened


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def news(name: str, minute: float, *, bad: bool = False, **more: object) -> Article:
    return article(name, bad=bad, published_at=at(minute), source=str(more.pop("source", f"s{int(sha(name)[:2], 16) % 4}")), **more)  # type: ignore[arg-type]


def raws(articles: Sequence[Article], first: int = 0) -> list[RawMessage]:
    return [RawMessage("articles", 0, first + n, item.id.encode(), encode(item)) for n, item in enumerate(articles)]


def calm() -> list[Article]:
    return [news(f"calm-{n}", -60 * n - 60) for n in range(30)]


def crisis() -> list[Article]:
    return [news(f"crisis-{n}", 0.8 * n, bad=True) for n in range(25)]


def rows(store: Store) -> list[tuple[object, ...]]:
    """All articles and mentions without their times of writing."""
    articles = store.client.query("SELECT id, title, toUInt32(published_at), story, p_negative, topics FROM articles FINAL ORDER BY id")
    mentions = store.client.query("SELECT series, toUInt32(published_at), id, story, negative FROM mentions FINAL ORDER BY series, id")
    return [(*row[:-1], tuple(row[-1])) if isinstance(row[-1], list) else row for row in articles + mentions]


def run(store: Store, batches: Sequence[Sequence[Article]], now: datetime, *, ahead: int = 0) -> list[Alert]:
    """Runs the batches through score and watch, with `ahead` batches classified before the previous one is stored; returns the alerts."""
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    classified: list[ClassifiedBatch] = []
    alerts: list[Alert] = []
    for batch in [*batches, *[[]] * ahead]:
        classified.append(pipeline.classify_batch(raws(batch), now))
        if len(classified) > ahead:
            alerts += pipeline.watch(pipeline.store_batch(classified.pop(0), now).scores, now)
    pipeline.close()
    return alerts


@pytest.mark.parametrize("seed", range(4))
def test_the_store_is_the_same_however_messages_are_batched_repeated_and_ordered(store: Store, seed: int):
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
    else:  # the first copy that arrives names the story, so only its id depends on the order
        assert [row[:3] for row in rows(store)] == [row[:3] for row in once]
    assert store.articles.totals().stories == 30 + 25 + 1
    assert store.articles.duplicates() == 0


def test_one_episode_raises_one_alert_per_series_in_any_batches(store: Store):
    run(store, [calm()], at(-30))
    alerts: list[Alert] = []
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    for n, item in enumerate(crisis()):
        now = at(0.8 * n + 0.2)
        alerts += pipeline.watch(pipeline.score(raws([item], n), now).scores, now)
    by_series = [alert.series for alert in alerts]
    assert company_series("STAR") in by_series
    assert len(by_series) == len(set(by_series)) == store.alerts.count()
    star = next(alert for alert in alerts if alert.series == company_series("STAR"))
    assert star.observed >= 3 and len(star.evidence) == min(star.observed, 6)
    assert all(item.p_negative > 0.3 for item in star.evidence)


def test_a_restarted_worker_returns_the_same_alerts_again(store: Store):
    """After a crash between storing and publishing an alert, its articles are delivered again, perhaps in other batches."""
    run(store, [calm()], at(-30))
    first = run(store, [crisis()], at(21))
    again = run(store, [crisis()[:20], crisis()[20:]], at(22))
    assert {alert.id for alert in again} == {alert.id for alert in first}
    assert len(again) == len(first) == store.alerts.count() > 0


def test_catching_up_finds_the_alerts_of_stored_scores(store: Store):
    """The scores are stored, but their messages are lost, for example because a broker in memory ended."""
    run(store, [calm()], at(-30))
    stored = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    stored.score(raws(crisis()), at(21))
    alerts = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY).catch_up(at(22))
    assert company_series("STAR") in [alert.series for alert in alerts]
    assert store.alerts.count() == len(alerts)
    again = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    assert {alert.id for alert in again.catch_up(at(23))} == {alert.id for alert in alerts}
    assert again.catch_up(at(24)) == []
    assert Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY).catch_up(at(300)) == []  # too old


def test_a_repeated_batch_is_not_scored_again_but_its_scores_are_returned(store: Store):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    first = pipeline.score(raws(crisis()), at(21))
    second = pipeline.score(raws(crisis()), at(22))
    assert (first.scored, first.repeated, second.scored, second.repeated) == (25, 0, 0, 25)
    assert [score.id for score in second.scores] == sorted(score.id for score in first.scores)
    before = {score.id: score for score in first.scores}
    for score in second.scores:
        assert score.p_negative == pytest.approx(before[score.id].p_negative, abs=1e-6)
        assert (score.story, score.published_at, score.model) == (before[score.id].story, before[score.id].published_at, "keyword-1")
        assert [c.company for c in score.companies] == ["STAR"] and score.companies[0].sector == "energy"
    assert pipeline.score(raws(crisis()), at(24 * 60)).scores == []  # loading an archive again has nothing to watch


def test_a_batch_classified_early_uses_what_the_previous_one_stored(store: Store):
    """An article is stored; the next batch changes its text, and the one after it, already classified, changes it back."""
    first, changed = news("a", 0, text="Oil falls."), news("a", 0, text="Oil rises.")
    run(store, [[first]], at(1))
    run(store, [[changed], [first, news("b", 0)], [first]], at(2), ahead=1)
    assert store.client.query("SELECT text FROM articles FINAL WHERE id = {id:String}", id=first.id) == [("Oil falls.",)]
    assert (store.articles.totals().articles, store.articles.duplicates(), store.dead_letters.count()) == (2, 0, 0)


def counted(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


def test_a_changed_text_is_counted_and_replaces_the_old_one(store: Store):
    """Repetitions and new articles are not counted."""
    before = counted("tocsin_updated_total")
    first, changed = news("a", 0, text="Oil falls."), news("a", 5, text="Oil rises.")
    run(store, [[first], [first]], at(6))
    assert counted("tocsin_updated_total") == before
    run(store, [[changed, changed], [changed, news("b", 0)]], at(7))
    assert counted("tocsin_updated_total") == before + 1
    (row,) = store.articles.by_id([first.id])
    assert (row.text, row.published_at, row.story) == ("Oil rises.", first.published_at, first.id)


def test_unusual_characters_reach_the_store_and_alerts_unchanged(store: Store):
    run(store, [calm()], at(-30))
    odd = "nul\x00, lost \ufffd, \x1b[31mred\x1b[0m, \u202egnp.exe, 债务违约"
    alerts = run(store, [[msgspec.structs.replace(item, title=f"{odd} {item.title}") for item in crisis()]], at(21))
    assert store.dead_letters.count() == 0
    assert all(row.title.startswith(odd) for row in store.articles.latest(25))
    assert alerts and all(item.title.startswith(odd) for alert in store.alerts.latest() for item in alert.evidence)


class RecordedQueries:
    """Records the series and start of each query of minute counts."""

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


def test_minute_counts_are_queried_once_and_again_after_a_late_story(store: Store, monkeypatch: pytest.MonkeyPatch):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    pipeline.score(raws(calm()), at(0))
    queries, clock = RecordedQueries(store, monkeypatch), [0.0]
    counts_cache = MinuteCountsCache(store.mentions, 7 * 86_400, lambda: clock[0])
    star, both, past = company_series("STAR"), [company_series("STAR"), MARKET], at(-7 * 1_440)
    found = counts_cache.get([star], at(5))
    assert {name: int(counts.total.sum()) for name, counts in found.items()} == {star: 30, MARKET: 30}
    assert queries.take() == [(both, past), (both, at(0))]
    new = pipeline.score(raws([news("new", 1, bad=True)]), at(6)).scores
    assert counts_cache.invalidate(new) == set()  # the newest minutes are queried in any case
    again = counts_cache.get([star], at(7))
    assert {name: (int(counts.negative.sum()), int(counts.total.sum())) for name, counts in again.items()} == {
        star: (1, 31),
        MARKET: (1, 31),
    }
    assert queries.take() == [(both, at(0))]
    late = pipeline.score(raws([news("late", -300)]), at(8)).scores
    assert int(counts_cache.get([star], at(8))[star].total.sum()) == 31  # not invalidated
    assert counts_cache.invalidate(late) >= {star, MARKET}
    queries.take()
    assert int(counts_cache.get([star], at(8))[star].total.sum()) == 32
    assert queries.take() == [(both, at(-300)), (both, at(0))]
    clock[0] = TTL_S + 1  # late stories of other workers arrive as scores; a lost one is found after the TTL
    counts_cache.get([MARKET], at(9))
    assert queries.take() == [([MARKET], past), ([MARKET], at(0))]
    assert {name: int(counts.total.sum()) for name, counts in counts_cache.get([star], at(61)).items()} == {star: 32, MARKET: 32}
    assert queries.take() == [([star], past), ([MARKET], at(0)), (both, at(55))]


def test_the_threshold_of_an_hour_is_learned_from_earlier_peaks_and_survives_a_restart(store: Store):
    run(store, [calm()], at(-30))
    before = AlertThreshold(RULE, store.peaks, store.mentions)
    theory = before.at(at(5))
    assert before.feed_sources(at(5)) == 4
    store.peaks.began(RULE.name, at(0) - timedelta(days=30))
    moments = [PeakRow(f"topic:t{n}", at(-700 * n), 900, 12.0 + n % 7) for n in range(1, 60)]
    store.peaks.insert(RULE.name, [PeakRow("", at(0) - timedelta(days=40), 0, 0.0), *moments])
    assert before.at(at(59)) == theory  # once an hour
    learned = AlertThreshold(RULE, store.peaks, store.mentions).at(at(5))
    assert learned > theory + 3
    first = AlertThreshold(RULE, store.peaks, store.mentions)
    for surprise in (9.0, 25.0, 14.0):
        spike = Spike(int(at(3).timestamp()), 900, 9, 0.1, 0.25, surprise)
        if first.is_new_peak("company:STAR", spike):
            first.add_peak("company:STAR", spike)
        first.save_peaks()
    assert not first.is_new_peak("company:STAR", spike)
    run(store, [[news("odd", 4, bad=True, source="新浪")]], at(5))  # a new source in this hour
    restarted = AlertThreshold(RULE, store.peaks, store.mentions)
    assert (restarted.at(at(40)), restarted.feed_sources(at(40))) == (learned, 4)
    assert [peak.surprise for peak in store.peaks.since(RULE.name, at(0))] == [25.0]  # the maximum of all
    restarted.add_peak("company:STAR", spike)
    restarted.save_peaks()
    assert [peak.surprise for peak in store.peaks.since(RULE.name, at(0))] == [25.0]
    assert restarted.at(at(61)) != learned
    assert restarted.feed_sources(at(61)) == 5


def test_many_stories_of_one_source_need_corroboration_by_several_others(store: Store):
    """Regression test B27: an alert is raised once several sources report."""
    run(store, [calm()], at(-30))
    strict = SpikeRule(warmup_s=3600, false_per_week=0.01)  # a threshold as for hundreds of series
    pipeline = Pipeline(KeywordClassifier(), store, strict, duty_cycle=FULL_DUTY)

    def raised(articles: list[Article], minute: float) -> list[Alert]:
        return pipeline.watch(pipeline.score(raws(articles), at(minute)).scores, at(minute))

    assert raised([news(f"flood-{n}", n / 5, bad=True, source="loud") for n in range(30)], 7) == []
    assert raised([news("flood-echo", 7, bad=True, source="s1")], 8) == []
    alerts = raised([news(f"corroborating-{n}", 8, bad=True, source=f"s{n}") for n in range(3)], 9)
    assert company_series("STAR") in [alert.series for alert in alerts]


def test_loaded_history_raises_no_alerts(store: Store):
    assert run(store, [calm(), crisis()], at(24 * 60)) == []
    assert store.alerts.count() == 0


def test_a_new_company_raises_an_alert_after_the_warm_up(store: Store):
    def other(name: str) -> Article:
        item = news(name, 1, bad=True)
        return msgspec.structs.replace(item, mentions=(msgspec.structs.replace(item.mentions[0], company="NEW", sector=""),))

    run(store, [calm()], at(-30))
    alerts = run(store, [[other(f"n{n}") for n in range(12)]], at(2))
    assert company_series("NEW") in [alert.series for alert in alerts]


def test_several_sources_are_needed_and_copies_count_as_one_story(store: Store):
    run(store, [calm()], at(-30))
    assert run(store, [[news(f"one-{n}", n / 4, bad=True, source="same") for n in range(20)]], at(6)) == []
    assert run(store, [[news(f"copy-{n}", 300 + n / 4, bad=True, bands=[9]) for n in range(20)]], at(306)) == []


NAN = SentimentProbabilities(math.nan, math.nan, math.nan)


class FailingClassifier(KeywordClassifier):
    """Fails as raised: called with the documents of each call, empty texts left out, which no network ever sees."""

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
def test_a_model_that_always_fails_writes_no_dead_letters(store: Store, how: str):
    with pytest.raises(ModelError, match="keyword-1"):
        Pipeline(FailingClassifier(lambda _: how), store, RULE).score(raws(crisis()), at(21))
    assert store.dead_letters.count() == 0
    assert store.articles.totals().articles == 0


@pytest.mark.parametrize("how", ["a kernel was busy", "NaN"])
@pytest.mark.parametrize("articles", [1, 25])
def test_a_transient_model_error_writes_no_dead_letters(store: Store, articles: int, how: str):
    met: list[str] = []

    def once(_read: list[Document]) -> str:
        met.append("" if met else how)
        return met[-1]

    batch = Pipeline(FailingClassifier(once), store, RULE, duty_cycle=FULL_DUTY).score(raws(crisis()[:articles]), at(21))
    assert (batch.scored, batch.dead, store.dead_letters.count()) == (articles, [], 0)
    assert store.articles.totals().articles == articles


def test_a_batch_too_large_for_memory_is_scored_in_parts(store: Store):
    model = FailingClassifier(lambda read: "CUDA out of memory" if len(read) > 4 else "")
    batch = Pipeline(model, store, RULE, duty_cycle=FULL_DUTY).score(raws(crisis()), at(21))
    assert (batch.scored, batch.dead) == (25, [])


@pytest.mark.parametrize("how", ["cannot be read", "NaN"])
def test_an_article_that_the_model_cannot_process_becomes_a_dead_letter(store: Store, how: str):
    articles = crisis()
    bad = articles[7]
    pipeline = Pipeline(
        FailingClassifier(lambda read: how if any(bad.title in it.text for it in read) else ""), store, RULE, duty_cycle=FULL_DUTY
    )
    batch = pipeline.score(raws(articles), at(21))
    assert [(letter.stage, letter.offset, letter.value) for letter in batch.dead] == [("model", 7, encode(bad))]
    assert sorted(score.id for score in batch.scores) == sorted({item.id for item in articles} - {bad.id})
    assert [letter.value for letter in store.dead_letters.latest(9)] == [encode(bad)]


class RejectingArticles(ArticleTable):
    """Rejects some articles permanently; "*" rejects all."""

    rejected: frozenset[str] = frozenset()

    def insert(self, scored: Sequence[Scored]) -> None:
        if "*" in self.rejected or self.rejected & {item.article.id for item in scored}:
            raise StoreError("a value does not fit")
        super().insert(scored)


@pytest.fixture
def rejecting_articles(store: Store) -> Iterator[RejectingArticles]:
    before = store.articles
    store.articles = made = RejectingArticles(store.client)
    yield made
    store.articles = before


def test_a_new_broker_run_does_not_replace_dead_letters(store: Store):
    """The offsets of the embedded broker start from 0 at each start; earlier dead letters are kept."""
    for run_id in ("1", "2"):
        pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY, broker_run=run_id)
        batch = pipeline.score([RawMessage("articles", 0, 0, b"k", f"no record of run {run_id}".encode())], at(0))
        assert len(batch.dead) == 1
    found = store.dead_letters.latest()
    assert sorted(letter.name for letter in found) == ["articles@1/0/0", "articles@2/0/0"]
    store.dead_letters.settle(found[:1], "dropped")
    assert store.dead_letters.count() == 1


def test_a_row_that_the_store_rejects_becomes_a_dead_letter(store: Store, rejecting_articles: RejectingArticles):
    articles = crisis()
    bad = articles[7]
    rejecting_articles.rejected = frozenset({bad.id})
    batch = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY).score(raws(articles), at(21))
    assert [(letter.stage, letter.offset, letter.value) for letter in batch.dead] == [("store", 7, encode(bad))]
    assert sorted(score.id for score in batch.scores) == sorted({item.id for item in articles} - {bad.id})
    assert list(store.articles.keys([bad.id])) == []


def test_a_single_row_is_at_fault_only_if_the_store_accepts_another(store: Store, rejecting_articles: RejectingArticles):
    bad = crisis()[7]
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    rejecting_articles.rejected = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.score(raws([bad]), at(21))  # no evidence that the row is at fault
    rejecting_articles.rejected = frozenset({bad.id})
    pipeline.score(raws(calm()[:1]), at(21))
    assert [letter.stage for letter in pipeline.score(raws([bad]), at(21)).dead] == ["store"]
    rejecting_articles.rejected = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.score(raws([bad]), at(21))
    assert store.dead_letters.count() == 1


class RejectingAlerts(AlertTable):
    """Rejects queries for some series and alerts permanently; "*" rejects all."""

    rejected: frozenset[str] = frozenset()

    def last_alerts(self, rule: str, series: Sequence[str], since: datetime) -> dict[str, LastAlert]:
        self._check(series)
        return super().last_alerts(rule, series, since)

    def deliveries(self, alert_ids: Sequence[str]) -> list[Delivery]:
        self._check(alert_ids)
        return super().deliveries(alert_ids)

    def _check(self, names: Sequence[str]) -> None:
        if "*" in self.rejected or self.rejected.intersection(names):
            raise StoreError("a value does not fit")


@pytest.fixture
def rejecting_alerts(store: Store) -> Iterator[RejectingAlerts]:
    before = store.alerts
    store.alerts = made = RejectingAlerts(store.client)
    yield made
    store.alerts = before


def of_another_company(name: str, minute: float) -> Article:
    item = news(name, minute, bad=True)
    return msgspec.structs.replace(item, mentions=(msgspec.structs.replace(item.mentions[0], company="ODD", sector=""),))


def as_messages(records: Sequence[Score] | Sequence[Alert], topic: str) -> list[RawMessage]:
    return [RawMessage(topic, 0, n, b"", encode(record)) for n, record in enumerate(records)]


def test_a_score_that_cannot_be_evaluated_becomes_a_dead_letter(store: Store, rejecting_alerts: RejectingAlerts):
    run(store, [calm()], at(-30))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    odd = [of_another_company(f"odd-{n}", n) for n in range(6)]
    scores = pipeline.score(raws([*crisis(), *odd]), at(21)).scores
    rejecting_alerts.rejected = frozenset({company_series("ODD")})
    alerts = pipeline.watch(pipeline.read(as_messages(scores, "scores"), Score, at(21)), at(21))
    assert company_series("STAR") in [alert.series for alert in alerts]
    assert {alert.id for alert in alerts} == {alert.id for alert in store.alerts.latest()}
    letters = store.dead_letters.latest()
    assert {(letter.topic, letter.stage) for letter in letters} == {("scores", "watch")}
    assert {decode(letter.value, Score).id for letter in letters} <= {item.id for item in odd}  # those with enough of them in their window
    assert "a value does not fit" in letters[0].reason


def test_an_alert_that_cannot_be_sent_becomes_a_dead_letter(store: Store, rejecting_alerts: RejectingAlerts):
    run(store, [calm()], at(-30))
    alerts = run(store, [crisis()], at(21))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    rejecting_alerts.rejected = frozenset({alerts[0].id})
    for alert in pipeline.read(as_messages(alerts, "alerts"), Alert, at(22)):
        assert pipeline.notify(alert) == []
    assert [(letter.topic, letter.offset, letter.stage) for letter in store.dead_letters.latest()] == [("alerts", 0, "notify")]


def test_a_store_that_rejects_everything_writes_no_dead_letters(store: Store, rejecting_alerts: RejectingAlerts):
    run(store, [calm()], at(-30))
    alerts = run(store, [crisis()], at(21))
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    scores = pipeline.score(raws(crisis()), at(22)).scores
    rejecting_alerts.rejected = frozenset({"*"})
    with pytest.raises(StoreError):
        pipeline.watch(pipeline.read(as_messages(scores, "scores"), Score, at(22)), at(22))
    (alert,) = pipeline.read(as_messages(alerts[:1], "alerts"), Alert, at(22))
    with pytest.raises(StoreError):
        pipeline.notify(alert)
    assert store.dead_letters.count() == 0


def test_an_empty_batch_does_nothing(store: Store):
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    assert pipeline.watch([], NOON) == []
    assert pipeline.score([], NOON).scores == []
    assert pipeline.read([], Score, NOON) == []


DATED = "北方快报{m}月{d}日消息，"
NORTH: dict[str, Any] = {"language": "zh", "source": "north"}


def written(name: str, minute: float, title: str, text: str, **fields: Any) -> Article:
    """An article with this title and text, and without companies."""
    return msgspec.structs.replace(news(name, minute), title=title, text=text, mentions=(), **fields)


def dated(n: int, minute: float = 0) -> Article:
    """An article of a source that begins every text with a dateline of its own."""
    text = f"{DATED.format(m=n % 12 + 1, d=n % 28 + 1)}第{n}家公司在第{7 * n}号街区公布新产品，预计明年投产"
    return written(f"north-{n}", minute, "", text, **NORTH)


def test_boilerplate_is_learned_removed_from_what_the_model_reads_and_survives_a_restart(store: Store):
    class Reading(KeywordClassifier):
        def __init__(self) -> None:
            super().__init__()
            self.read: list[str] = []

        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            self.read += [document.text for document in documents if document.text]
            return super().classify(documents)

    model = Reading()
    pipeline = Pipeline(model, store, RULE, duty_cycle=FULL_DUTY)
    pipeline.score(raws([dated(n) for n in range(60)]), at(1))
    assert all(text.startswith("北方快报") for text in model.read)
    (repeat,) = store.repeats.all()
    assert (repeat.source, repeat.place, repeat.text, repeat.share) == ("north", "start", "北方快报0月0日消息，", 1.0)
    removed = counted_of("tocsin_boilerplate_total", source="north")
    for worker in (pipeline, Pipeline(model, store, RULE, duty_cycle=FULL_DUTY)):  # the second one has just started
        model.read.clear()
        first = 100 if worker is pipeline else 200
        worker.score(raws([dated(first + n) for n in range(5)]), at(2))
        assert model.read == [dated(first + n).text.partition("，")[2] for n in range(5)]
    assert counted_of("tocsin_boilerplate_total", source="north") == removed + 10
    assert counted_of("tocsin_boilerplate_repeats", source="north") == 1
    (row,) = store.articles.by_id([dated(100).id])
    assert row.text == dated(100).text, "the stored text stays whole"


def test_copies_with_and_without_the_boilerplate_of_their_source_are_one_story(store: Store):
    """Learned or known by a pattern: MinHash bands are those of the text without it."""
    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    pipeline.score(raws([dated(n) for n in range(60)]), at(1))
    long = "海棠实业宣布在临江市新建一座工厂，预计明年投产，总投资约十亿元"
    disclaimer = "免责声明：本文由远山日报编辑整理，文中内容仅代表作者个人观点，读者须自行判断，与本平台立场无关"
    copies = [
        built("plain", long),
        built("learned", DATED.format(m=5, d=18) + long),
        built("pattern", f"【快讯】{long}（新华社）"),
        built("notice", f"{long}。{disclaimer}"),
    ]
    pipeline.score(raws(copies), at(2))
    assert len({row.story for row in store.articles.by_id([copy.id for copy in copies])}) == 1


def built(name: str, text: str) -> Article:
    return written(name, 1, "", text, lsh_bands=lsh_bands("", text), **NORTH)


def test_copies_have_one_label_whatever_their_source_decoration_and_batch(store: Store):
    """A network answers a little differently in another batch; copies of one text still get one label."""

    class Unsteady(KeywordClassifier):
        calls = 0

        def classify(self, documents: Sequence[Document]) -> list[Prediction]:
            self.calls += 1
            sentiment = SentimentProbabilities(0.5 - self.calls / 50, 0.5 + self.calls / 50, 0.0)
            return [Prediction(sentiment, {"credit": 0.9}) for _ in documents]

    pipeline = Pipeline(Unsteady(), store, RULE, duty_cycle=FULL_DUTY)
    batches = [
        [("a", "Birch Foods opens a plant", "The plant makes bread."), ("c", "海棠实业新建工厂", "工厂生产玻璃。")],
        [("b", "BREAKING: Birch Foods opens a plant", "LONDON, May 5 (Reuters) - The plant makes bread.")],
        [("d", "", "【海棠实业新建工厂】财联社5月18日电，工厂生产玻璃。"), ("e", "海棠實業新建工廠", "工廠生產玻璃。（新华社）")],
        [("f", "Birch Foods opens a plant", "The plant makes cakes.")],
    ]
    for number, batch in enumerate(batches):
        made = [written(name, number, title, text, source=name, language="en" if name in "abf" else "zh") for name, title, text in batch]
        pipeline.score(raws(made), at(number + 1))
    found = {row[0]: round(row[1], 4) for row in store.client.query("SELECT source, p_negative FROM articles FINAL")}
    assert found["a"] == found["b"] and found["c"] == found["d"] == found["e"]
    assert found["f"] != found["a"], "another text keeps its own sentiment"


def counted_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_what_is_sent_is_read_from_the_store_and_not_from_the_message(store: Store):
    run(store, [calm()], at(-30))
    (alert, *_) = run(store, [crisis()], at(21))
    sent: list[Alert] = []

    class Recorder:
        def notify(self, alert: Alert) -> list[Delivery]:
            sent.append(alert)
            return []

    pipeline = Pipeline(KeywordClassifier(), store, RULE, duty_cycle=FULL_DUTY)
    pipeline._scheduler = Recorder()  # type: ignore[assignment]
    changed = msgspec.structs.replace(alert, severity="critical", observed=999)
    unknown = msgspec.structs.replace(alert, id=sha("forged"), series=company_series("FORGED"))
    for each in pipeline.read(as_messages([changed, unknown], "alerts"), Alert, at(22)):
        pipeline.notify(each)
    assert sent == [store.alerts.get(alert.id)]
    (letter,) = store.dead_letters.latest()
    assert (letter.stage, decode(letter.value, Alert).id) == ("notify", unknown.id)
    assert "not in the store" in letter.reason
