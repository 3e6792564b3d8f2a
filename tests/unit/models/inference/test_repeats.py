"""Boilerplate learned per source: what a source adds to its texts is found, and what its texts are about never is."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

import pytest

from models.inference.boilerplate import clean
from models.inference.canonical import model_text, without_patterns
from models.inference.repeats import (
    LEARN_EVERY,
    MAX_SOURCES,
    MIN_TEXTS,
    NO_REPEATS,
    WINDOW,
    RepeatLearner,
    Repeats,
    Sample,
    as_repeats,
    learn_repeats,
)

FIRMS_ZH = ("海棠实业", "白杨能源", "青禾医药", "云杉科技", "银杏食品", "丹桂传媒", "紫藤电子", "木棉航运", "玉兰地产", "石榴软件")
DONE_ZH = ("公布新一季报告", "任命新负责人", "与一家工厂签约", "召开股东大会", "发布新产品", "迁入新总部", "更换审计机构", "申请一项专利")
FIRMS_EN = ("Alder Mining", "Birch Foods", "Cedar Air", "Dogwood Bank", "Elm Shipping", "Fir Software", "Gorse Energy", "Hazel Media")
DONE_EN = ("opens a plant", "names a new chief", "signs a supply contract", "holds its meeting", "moves its head office", "files a patent")


def chinese(n: int) -> str:
    return f"{FIRMS_ZH[n % 10]}在第{n}号城市{DONE_ZH[n % 8]}"


def english(n: int) -> str:
    return f"{FIRMS_EN[n % 8]} {DONE_EN[n % 6]} in district {chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{n}"


def learned(source: str, texts: list[str], labels: list[str] | None = None) -> Repeats:
    """What is learned from texts, as the worker sees them."""
    plain = [without_patterns("", text).text for text in texts]
    samples = [Sample.of(text, label) for text, label in zip(plain, labels or [""] * len(plain), strict=True)]
    return as_repeats(learn_repeats(source, samples))


def added(form: str, body: Callable[[int], str], every: int = 1, texts: int = 120) -> list[str]:
    """Texts of which each `every`th has the form, with {} for the body and {d}, {m} for a date."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "June")
    return [
        form.replace("{}", body(n)).replace("{d}", str(n % 28 + 1)).replace("{m}", str(n % 12 + 1)).replace("{M}", months[n % 6])
        if n % every == 0
        else body(n)
        for n in range(texts)
    ]


BOILERPLATE = [
    # source, form, body, each which text has it
    ("north", "北方快报{m}月{d}日消息，{}", chinese, 1),
    ("north", "远山社临江{m}月{d}日电，{}", chinese, 3),
    ("north", "远山网讯，{}", chinese, 4),
    ("north", "{}（远山日报）", chinese, 3),
    ("north", "{}（记者 王某某）", chinese, 2),
    ("north", "{}。本文观点不构成任何操作建议，读者须自行判断。", chinese, 2),
    ("north", "{}。扫码进群领取每日晨会纪要和更多内容。", chinese, 5),
    ("远山通讯", "远山通讯：{}", chinese, 1),
    ("north", "{}_远山财经网", chinese, 1),
    ("wire", "PORT ELLEN, {M} {d} (Farhill Wire) -- {}", english, 2),
    ("wire", "(Farhill News) - {}", english, 3),
    ("wire", "{} | Farhill Markets Online", english, 1),
    ("wire", "{} (Farhill Newswire)", english, 3),
    ("wire", "{}. Subscribe to the Farhill morning letter to get this in your inbox.", english, 4),
    ("wire", "{}. This content is provided for information only and is not investment advice of any kind.", english, 2),
    ("wire", "{}. Sign up for the Farhill morning letter and read it first.", english, 4),
    ("wire", "{}. Past performance is no guide, and the value of an investment may fall as well as rise.", english, 2),
    ("north", "{}。免责声明：文中信息不作任何担保，据此买卖盈亏由读者承担。", chinese, 4),
    ("farhill_daily", "Farhill Daily: {}", english, 1),
]


@pytest.mark.parametrize(("source", "form", "body", "every"), BOILERPLATE, ids=[form for _, form, _, _ in BOILERPLATE])
def test_what_a_source_adds_to_its_texts_is_removed(source: str, form: str, body: Callable[[int], str], every: int):
    texts = added(form, body, every)
    found = learned(source, texts)
    seen = added(form, body, 1)
    assert [model_text("", text, found).rstrip("。.") for text in seen] == [model_text("", body(n)) for n in range(len(seen))]


CONTENT = [
    ("Shares rise: {}", english, 1),
    ("Shares fall as {}", english, 2),
    ("Profit warning: {}", english, 2),
    ("Downgrade: {}", english, 2),
    ("[Downgrade] {}", english, 2),
    ("[Bad news] {}", english, 2),
    ("Fed: {}", english, 1),
    ("Trump: {}", english, 1),
    ("European Central Bank: {}", english, 1),
    ("Oil (WTI): {}", english, 2),
    ("GOLD (XAU) - {}", english, 2),
    ("[Oil] {}", english, 1),
    ("Breaking: shares slump: {}", english, 1),
    ("In London, {}", english, 1),
    ("On {M} {d}, {}", english, 1),
    ("{}, sending shares lower.", english, 2),
    ("{} (down {d}%)", english, 2),
    ("{}. Shares of the company were down {d}% in early trading today.", english, 1),
    ("{}. Analysts said the results were far worse than they had feared.", english, 1),
    ("{}. The stock has a market value of {d} million dollars.", english, 1),
    ("{} - shares tumble", english, 1),
    ("{} | bankruptcy filing", english, 1),
    ("{}. Subscribers to the app fell for a third quarter, and the newsletter was cut.", english, 2),
    ("{}. The board did not accept the offer, and talks collapsed.", english, 2),
    ("{}，新游戏下载量大幅下跌并停止运营。", chinese, 2),
    ("海棠公司{m}月{d}日讯，{}", chinese, 1),
    ("A股{m}月{d}日讯，{}", chinese, 1),
    ("年报消息，{}", chinese, 1),
    ("利空：{}", chinese, 2),
    ("【利空】{}", chinese, 2),
    ("【利好快讯】{}", chinese, 2),
    ("涨停：{}", chinese, 1),
    ("美联储：{}", chinese, 1),
    ("央行：{}", chinese, 1),
    ("【原油】{}", chinese, 1),
    ("截至{m}月{d}日收盘，{}", chinese, 1),
    ("{m}月{d}日，{}", chinese, 1),
    ("港股{m}月{d}日消息，{}", chinese, 1),
    ("光伏发电，{}", chinese, 1),
    ("海棠家电，{}", chinese, 1),
    ("知情人士消息，{}", chinese, 2),
    ("净利润同比增长{d}%，{}", chinese, 1),
    ("业绩预亏，{}", chinese, 1),
    ("{}，股价大跌。", chinese, 1),
    ("{}（跌幅{d}%）", chinese, 1),
    ("{}（业绩预增）", chinese, 1),
    ("{}（公司公告）", chinese, 1),
    ("{}。公司股价盘中一度触及跌停，投资者情绪低落。", chinese, 1),
    ("{}。上述消息未获公司证实，公司予以否认。", chinese, 1),
]


@pytest.mark.parametrize(("form", "body", "every"), CONTENT, ids=[form for form, _, _ in CONTENT])
def test_what_texts_are_about_is_not_learned_however_often_it_repeats(form: str, body: Callable[[int], str], every: int):
    assert learned("wire", added(form, body, every, texts=300)) == NO_REPEATS


@pytest.mark.parametrize(
    ("form", "body"),
    [("[Farhill News] {}", english), ("{} (Farhill News)", english), ("{} | Farhill Online", english), ("【远山快报】{}", chinese)],
)
def test_a_tag_whose_texts_differ_in_sentiment_from_the_others_is_content(form: str, body: Callable[[int], str]):
    texts = added(form, body, every=2)
    alike = [("negative", "neutral", "positive")[n // 2 % 3] for n in range(len(texts))]
    apart = ["negative" if n % 2 == 0 else "positive" for n in range(len(texts))]
    assert learned("wire", texts, alike) != NO_REPEATS
    assert learned("wire", texts, apart) == NO_REPEATS


def test_few_texts_rare_repeats_and_copies_teach_nothing():
    dateline = "北方快报{m}月{d}日消息，{}"
    assert learned("north", added(dateline, chinese, texts=MIN_TEXTS - 1)) == NO_REPEATS
    assert learned("north", added(dateline, chinese, every=30, texts=300)) == NO_REPEATS
    copies = [f"北方快报5月{n % 28 + 1}日消息，{chinese(3)}" for n in range(300)]
    assert learned("north", copies) == NO_REPEATS, "one text that was published many times"


def test_a_text_of_boilerplate_alone_is_kept():
    found = learned("north", added("北方快报{m}月{d}日消息，{}", chinese))
    assert clean("", "北方快报7月1日消息，", found).text == "北方快报7月1日消息，"
    assert clean("北方快报7月1日消息，木棉航运停工", "", found).title == "木棉航运停工"


def fill(learner: RepeatLearner, source: str, texts: list[str]) -> None:
    for text in texts:
        learner.add(source, "", text)


def test_a_known_repeat_is_kept_at_a_lower_share_and_forgotten_when_it_ends():
    """So a repeat near the limit does not come and go."""
    learner = RepeatLearner()
    form = "北方快报{m}月{d}日消息，{}"
    fill(learner, "north", added(form, chinese, every=10, texts=WINDOW))
    known = as_repeats(learner.learn("north")[0])
    assert known.starts == ("北方快报0月0日消息，",)
    fill(learner, "north", added(form, lambda n: chinese(n + WINDOW), every=20, texts=WINDOW))
    assert learner.learn("north") == ([], True)
    assert as_repeats(learner.learn("north", known)[0]) == known
    fill(learner, "north", [chinese(n + 2 * WINDOW) for n in range(WINDOW)])
    assert learner.learn("north", known) == ([], True)


def test_memory_is_bounded_in_texts_and_sources():
    learner = RepeatLearner()
    for n in range(3 * MAX_SOURCES):
        learner.add(f"s{n}", chinese(n) * 50, english(n) * 500, "neutral")
    assert len(learner._sources) == MAX_SOURCES and "s0" not in learner._sources
    for n in range(2 * WINDOW):
        learner.add("one", chinese(n) * 50, english(n) * 500)
    memory = learner._sources["one"]
    assert (len(memory.titles), len(memory.texts)) == (WINDOW, WINDOW)
    assert sum(sys.getsizeof(part) for sample in (*memory.titles, *memory.texts) for part in sample) < 600_000


def test_a_source_is_due_after_enough_new_texts():
    learner = RepeatLearner()
    fill(learner, "a", [english(n) for n in range(LEARN_EVERY[0] - 1)])
    assert learner.due() == []
    fill(learner, "a", [english(1000)])
    assert learner.due() == ["a"]
    learner.learn("a")
    assert learner.due() == []


def test_learning_does_not_depend_on_the_order_of_texts():
    texts = added("远山社临江{m}月{d}日电，{}", chinese, every=3) + added("{} (Farhill Newswire)", english, every=3)
    shuffled = list(texts)
    random.Random(5).shuffle(shuffled)
    assert learned("wire", texts) == learned("wire", shuffled) != NO_REPEATS


def test_the_time_is_linear_in_the_length_of_a_text():
    repeats = Repeats(("0月0日消息，",), ("0 Farhill Newswire", "（0年0月远山日报）"))
    for text in ("7" * 20_000, "7月" * 10_000, "（" * 20_000, " " * 20_000 + "x"):
        began = time.process_time()
        clean("", text, repeats)
        assert time.process_time() - began < 1.0
