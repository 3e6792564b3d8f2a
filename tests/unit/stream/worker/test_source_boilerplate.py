"""The worker's learned boilerplate: learned, stored, shared between workers, renewed and ended. The table is a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import structlog

from core.records import Article, Score, sha
from ingest.text.near_duplicates import lsh_bands
from models.inference.repeats import NO_REPEATS, WINDOW, Repeats
from storage.store import StoredRepeat
from stream.worker.source_boilerplate import POLL_INTERVAL, RENEW_INTERVAL, SourceBoilerplate, read_article

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
START = "北方快报0月0日消息，"


class Table:
    """As storage.tables.repeats.RepeatTable."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str], StoredRepeat] = {}
        self.writes = 0

    def put(self, repeats: Sequence[StoredRepeat]) -> None:
        self.writes += 1
        self.rows |= {(each.source, each.place, each.text): each for each in repeats}

    def all(self) -> list[StoredRepeat]:
        return [each for each in self.rows.values() if not each.ended]


def body(n: int) -> str:
    return f"第{n}家公司在{chr(0x4E00 + 37 * n % 20_000)}市公布新产品"


def article(n: int, *, dated: bool = True, text: str = "") -> Article:
    text = text or (f"北方快报{n % 12 + 1}月{n % 28 + 1}日消息，" if dated else "") + body(n)
    return Article(
        id=sha(str(n), text), source="north", language="zh", text=text, published_at=NOW, fetched_at=NOW, lsh_bands=lsh_bands("", text)
    )


def score(one: Article) -> Score:
    return Score(
        id=one.id, source=one.source, language="zh", published_at=NOW, story=one.id,
        p_negative=0.1, p_neutral=0.8, p_positive=0.1, topics={}, model="m", scored_at=NOW,
    )  # fmt: skip


def work(worker: SourceBoilerplate, articles: Sequence[Article], now: datetime = NOW) -> None:
    repeats = worker.current(now).get("north", NO_REPEATS)
    worker.learn([(score(one), read_article(one, repeats)) for one in articles], now)


def made(table: Table) -> SourceBoilerplate:
    return SourceBoilerplate(table)  # type: ignore[arg-type]


def test_it_is_learned_once_and_used_by_every_worker_and_after_a_restart():
    table = Table()
    one, two = made(table), made(table)
    two.current(NOW)
    with structlog.testing.capture_logs() as lines:
        work(one, [article(n) for n in range(60)])
    assert [(line["event"], line["source"], line["share"]) for line in lines] == [("boilerplate_learned", "north", 1.0)]
    expected = {"north": Repeats((START,))}
    assert one.current(NOW) == expected and two.current(NOW) == {}
    assert two.current(NOW + POLL_INTERVAL) == made(table).current(NOW) == expected
    writes = table.writes
    work(one, [article(n) for n in range(60, 120)])
    assert table.writes == writes, "nothing has changed"
    work(one, [article(n) for n in range(120, 180)], NOW + RENEW_INTERVAL)
    assert table.rows["north", "start", START].total == 180 and table.rows["north", "start", START].at == NOW + RENEW_INTERVAL


def test_it_ends_when_the_source_stops_and_not_before_enough_texts_were_seen():
    table = Table()
    work(made(table), [article(n) for n in range(60)])
    restarted = made(table)
    work(restarted, [article(n, dated=False) for n in range(100, 100 + WINDOW // 2)])
    assert restarted.current(NOW) == {"north": Repeats((START,))}, "a restarted worker has seen little"
    with structlog.testing.capture_logs() as lines:
        for first in range(500, 500 + 2 * WINDOW, 50):
            work(restarted, [article(n, dated=False) for n in range(first, first + 50)])
    assert [line["event"] for line in lines] == ["boilerplate_ended"]
    assert restarted.current(NOW) == {} and table.all() == []
    work(restarted, [article(n) for n in range(2000, 2000 + WINDOW)])
    assert restarted.current(NOW + timedelta(minutes=1)) == {"north": Repeats((START,))}


def test_copies_read_alike_with_and_without_boilerplate_and_share_their_bands():
    text = "海棠实业宣布在临江市新建一座工厂，预计明年投产，总投资约十亿元"
    repeats = Repeats((START,))
    plain = read_article(article(0, text=text), repeats)
    for form in ("北方快报5月18日消息，{}", "【快讯】{}（新华社）", "财联社11月20日电，{}", "北方快报1月2日消息，{}（新华社）", "快讯：{}"):
        read = read_article(article(0, text=form.format(text)), repeats)
        assert (read.model_text, read.lsh_bands) == (plain.model_text, plain.lsh_bands), form
    assert plain.repeats == () and read_article(article(0, text=f"北方快报5月18日消息，{text}"), repeats).repeats == (
        "北方快报5月18日消息，",
    )
    other = read_article(article(0, text=text.replace("十亿", "百亿")), repeats)
    assert other.model_text != plain.model_text, "another text is another text"


def test_learning_sees_texts_with_what_was_learned():
    """Else what is removed would seem to have ended."""
    found = read_article(article(1), Repeats((START,)))
    assert found.plain.text == article(1).text and found.model_text == body(1)
