"""What the API can do in each way to run it: a real outbox, a real classifier, real files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.requests import ArticleIn
from core.errors import BrokerError, ModelError
from core.records import Article, decode
from core.settings import Settings
from ingest.kafka.outbox import Outbox
from models.inference.classifier import Changing, Classifier, Document, Prediction, of_now
from models.inference.keyword import KeywordClassifier
from models.inference.locked_classifier import InTurn
from storage.store import Store
from tests.api_desk import real_store
from tests.contract.test_store import NOON
from tocsin.runtime.wiring import make_gazetteer
from tocsin.services.api_backends import WAITING, Classifying, backends


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with real_store(tmp_path_factory.mktemp("api")) as made:
        yield made


def settings(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=str(folder), model="keyword", **more)  # type: ignore[arg-type]


def test_what_is_pushed_lies_in_the_outbox_as_if_it_had_been_crawled(store: Store, tmp_path: Path):
    path = tmp_path / "outbox.sqlite"
    owner = Outbox(path, durable_broker=False)
    articles = [
        ArticleIn(source="路透", title="贵州茅台股价大跌", url="https://example.org/1?utm_source=x", published_at=NOON),
        ArticleIn(source="wire", title=" \u200b "),
        ArticleIn(source="wire", text="我的手机号是13812345678，股票亏了", genre="social"),
    ]
    with backends(settings(tmp_path), store, outbox=path) as able:
        assert able.push is not None
        first, none, post = able.push(articles, NOON)
        again = able.push(articles[:1], datetime.now(UTC))
    assert (none.accepted, none.id, none.reason) == (False, "", "neither a title nor a text")
    assert again[0].id == first.id, "the same article again is the same article"
    assert {"date", "masked"} <= set(post.flags)
    waiting = {row.key.decode(): decode(row.body, Article) for row in owner.pending(9)}
    assert set(waiting) == {first.id, post.id}
    assert (waiting[first.id].url, waiting[first.id].language) == ("https://example.org/1", "zh")
    assert [mention.company for mention in waiting[first.id].mentions] == ["600519.SH"]
    assert "13812345678" not in waiting[post.id].text
    owner.close()


def test_an_outbox_that_is_full_takes_no_more(store: Store, tmp_path: Path):
    path = tmp_path / "outbox.sqlite"
    owner = Outbox(path, durable_broker=False)
    owner._db.execute("UPDATE totals SET size = ?", (1 << 30,))
    with backends(settings(tmp_path), store, outbox=path) as able, pytest.raises(BrokerError, match="full"):
        assert able.push is not None
        able.push([ArticleIn(source="a", title="b")], NOON)
    assert owner.pending(9) == []
    owner.close()


def test_without_a_broker_of_ones_own_nothing_can_be_pushed(store: Store, tmp_path: Path):
    with backends(settings(tmp_path, api_classify=False), store) as able:
        assert able.push is None
        assert able.classify is None
    assert list(tmp_path.iterdir()) == []


def test_texts_are_read_by_a_model_that_is_loaded_when_it_is_asked(store: Store, tmp_path: Path):
    with backends(settings(tmp_path), store) as able:
        assert able.classify is not None
        chinese, english = able.classify(["贵州茅台债券违约，股票停牌", "Profit soars"]).items
    assert (chinese.language, english.language) == ("zh", "en")
    assert chinese.sentiment.negative > 0.5 > english.sentiment.negative
    assert [each.company for each in chinese.companies] == ["600519.SH"]
    assert english.tone > 0


def test_the_workers_model_is_shared_once_it_is_there(store: Store, tmp_path: Path):
    model: Future[Classifier] = Future()
    with backends(settings(tmp_path), store, model=model) as able:
        assert able.classify is not None
        with pytest.raises(ModelError, match="still being loaded"):
            able.classify(["a"])
        model.set_result(InTurn(KeywordClassifier()))
        assert able.classify(["a"]).model == "keyword-1"


class Slow:
    """A classifier that shows whether two threads are in it at once."""

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


def test_one_at_a_time_reads_and_a_crowd_is_told_to_come_again(tmp_path: Path):
    slow = Slow()
    shared = InTurn(slow)
    assert isinstance(shared, Changing)
    gazetteer = make_gazetteer(settings(tmp_path))
    classify = Classifying(lambda: shared, lambda: gazetteer)
    threads = [threading.Thread(target=classify, args=(["a"],)) for _ in range(WAITING)]
    threads.append(threading.Thread(target=of_now(shared).classify, args=([Document("b", "")],)))  # the worker
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


def test_rules_and_watchlists_are_those_of_the_settings(store: Store, tmp_path: Path):
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
    assert (watchlist.series, watchlist.title_en, watchlist.keywords, watchlist.filled) == (
        "watchlist:desk",
        "关注",
        ("违约 | default",),
        False,
    )
