"""Backends of the API with a real outbox, a real classifier and real files."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.requests import ArticleIn
from core.errors import BrokerError, ModelError
from core.records import Article, article_id, decode
from core.settings import Settings
from ingest.kafka.outbox import Outbox
from models.inference.classifier import Classifier, Document, LockedClassifier, Prediction, SwitchableClassifier, current_model
from models.inference.keyword import KeywordClassifier
from storage.store import Store
from tests.helpers.stores import NOON
from tocsin.services.api_backends import MAX_WAITING_REQUESTS, TextClassifier, backends
from tocsin.wiring import make_gazetteer


@pytest.fixture(scope="module")
def store(embedded_store: Store) -> Store:
    return embedded_store


def settings(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=str(folder), model="keyword", **more)  # type: ignore[arg-type]


def test_a_pushed_article_is_in_the_outbox_like_a_crawled_one(store: Store, tmp_path: Path):
    path = tmp_path / "outbox.sqlite"
    owner = Outbox(path, durable_broker=False)
    articles = [
        ArticleIn(source="路透", title="贵州茅台股价大跌", url="https://example.org/1?utm_source=x", published_at=NOON),
        ArticleIn(source="wire", title=" \u200b "),
        ArticleIn(source="wire", text="我的手机号是13812345678，股票亏了", genre="social"),
    ]
    with backends(settings(tmp_path), store, outbox=path) as able:
        assert able.push is not None
        first, none, post = able.push(articles, NOON, "desk")
        again = able.push(articles[:1], datetime.now(UTC), "desk")
    assert (none.accepted, none.id, none.reason) == (False, "", "neither a title nor a text")
    assert again[0].id == first.id, "the same article again is the same article"
    assert {"date", "masked"} <= set(post.flags)
    waiting = {row.key.decode(): decode(row.body, Article) for row in owner.pending(9)}
    assert set(waiting) == {first.id, post.id}
    assert (waiting[first.id].url, waiting[first.id].language) == ("https://example.org/1", "zh")
    assert [mention.company for mention in waiting[first.id].mentions] == ["600519.SH"]
    assert "13812345678" not in waiting[post.id].text
    owner.close()


def test_a_token_has_articles_of_its_own(store: Store, tmp_path: Path):
    url = "https://example.org/1"
    given = [
        ArticleIn(source="路透", title="a", url=url),
        ArticleIn(source="路透", title="a", url=url, guid="k1"),
        ArticleIn(source="路透", title="b", url=url, guid="k2"),
        ArticleIn(source="路透", title="a", url=url + "2", guid="k1"),
        ArticleIn(source="路透", title="c", guid="N/A"),
        ArticleIn(source="路透", title="d", guid="N/A"),
        ArticleIn(source="彭博", title="a", url=url),
    ]
    path = tmp_path / "outbox.sqlite"
    owner = Outbox(path, durable_broker=False)
    with backends(settings(tmp_path), store, outbox=path) as able:
        assert able.push is not None
        ids = [[each.id for each in able.push(given, NOON, token)] for token in ("desk", "desk", "other")]
    assert ids[0] == ids[1]
    crawled = article_id(url=url, source="路透", guid="", title="", published_at=NOON)
    assert len({*ids[0], *ids[2], crawled}) == 2 * len(given) + 1
    assert {decode(row.body, Article).trust for row in owner.pending(99)} == {"push"}
    owner.close()


def test_a_full_outbox_rejects_articles(store: Store, tmp_path: Path):
    path = tmp_path / "outbox.sqlite"
    owner = Outbox(path, durable_broker=False)
    owner._db.execute("UPDATE totals SET size = ?", (1 << 30,))
    with backends(settings(tmp_path), store, outbox=path) as able, pytest.raises(BrokerError, match="full"):
        assert able.push is not None
        able.push([ArticleIn(source="a", title="b")], NOON, "desk")
    assert owner.pending(9) == []
    owner.close()


def test_without_a_broker_setting_pushing_is_not_available(store: Store, tmp_path: Path):
    with backends(settings(tmp_path, api_classify=False), store) as able:
        assert able.push is None
        assert able.classify is None
    assert list(tmp_path.iterdir()) == []


def test_the_model_is_loaded_at_the_first_classification(store: Store, tmp_path: Path):
    with backends(settings(tmp_path), store) as able:
        assert able.classify is not None
        chinese, english = able.classify(["贵州茅台债券违约，股票停牌", "Profit soars"]).items
    assert (chinese.language, english.language) == ("zh", "en")
    assert chinese.sentiment.negative > 0.5 > english.sentiment.negative
    assert [each.company for each in chinese.companies] == ["600519.SH"]
    assert english.tone > 0


def test_the_model_of_the_worker_is_shared_once_it_is_loaded(store: Store, tmp_path: Path):
    model: Future[Classifier] = Future()
    with backends(settings(tmp_path), store, model=model) as able:
        assert able.classify is not None
        with pytest.raises(ModelError, match="still loading"):
            able.classify(["a"])
        model.set_result(LockedClassifier(KeywordClassifier()))
        assert able.classify(["a"]).model == "keyword-1"


class Slow:
    """A classifier that records how many threads call it at once."""

    version = "slow"

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.entered, self.go_on = threading.Event(), threading.Event()

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        self.go_on.wait(20)
        self.inside -= 1
        return KeywordClassifier().classify(documents)


def test_classifications_take_turns_and_too_many_are_rejected(tmp_path: Path):
    slow = Slow()
    shared = LockedClassifier(slow)
    assert isinstance(shared, SwitchableClassifier)
    gazetteer = make_gazetteer(settings(tmp_path))
    classify = TextClassifier(lambda: shared, lambda: gazetteer)
    threads = [threading.Thread(target=classify, args=(["a"],)) for _ in range(MAX_WAITING_REQUESTS)]
    threads.append(threading.Thread(target=current_model(shared).classify, args=([Document("b", "")],)))  # the worker
    for thread in threads:
        thread.start()
    assert slow.entered.wait(20)
    while classify._room._value:
        threading.Event().wait(0.01)
    with pytest.raises(ModelError, match="busy"):
        classify(["b"])
    slow.go_on.set()
    for thread in threads:
        thread.join(20)
    assert slow.most == 1
    assert classify(["c"]).model == "slow"


def test_rules_and_watchlists_come_from_the_settings(store: Store, tmp_path: Path):
    lists = tmp_path / "w.toml"
    lists.write_text('[[watchlist]]\nname = "desk"\ntitle_zh = "关注"\nkeywords = ["违约 | default"]\n', encoding="utf-8")
    own = tmp_path / "r.toml"
    own.write_text('[[rules]]\nname = "多空失衡"\nkind = "negative_share"\nseries = ["topic:*"]\nover = 0.6\n', encoding="utf-8")
    with backends(settings(tmp_path, watchlists=str(lists), alert_rules=str(own), alert_min_stories=7), store) as able:
        assert able.rules is not None
        assert able.watchlists is not None
        rule, share = able.rules()
        (watchlist,) = able.watchlists()
    assert (rule.name, rule.parameters["kind"], rule.parameters["min_stories"]) == ("negative-spike", "spike", 7)
    assert (share.name, share.parameters["kind"], share.parameters["limit"]) == ("多空失衡", "negative_share", 0.6)
    assert (watchlist.series, watchlist.title_en, watchlist.keywords, watchlist.backfilled) == (
        "watchlist:desk",
        "关注",
        ("违约 | default",),
        False,
    )
