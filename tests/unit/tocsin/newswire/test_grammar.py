"""The newswire's texts are complete, readable and about invented companies only."""

import random
import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from core.records import Language
from core.taxonomy import TOPIC_KEYS
from ingest.companies.company_files import load_companies
from tests.helpers.shared_data import shared_dir
from tocsin.newswire.cast import PAPERS, companies, companies_path, papers_of, sectors
from tocsin.newswire.grammar import TONES, EventTemplate, Values, candidates, grammar_of, quiet_event, write_story

NOW = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
LANGUAGES: tuple[Language, ...] = ("en", "zh")
HAN = re.compile(r"[\u4e00-\u9fff]")
REAL = (
    *("Apple", "Microsoft", "Amazon", "Toyota", "Samsung", "Alibaba", "Tencent", "Evergrande", "Vanke", "Country Garden", "HSBC", "BYD"),
    *(
        "Nvidia",
        "Intel",
        "Shell",
        "Reuters",
        "Bloomberg",
        "Xinhua",
        "恒大",
        "万科",
        "碧桂园",
        "融创",
        "比亚迪",
        "茅台",
        "腾讯",
        "阿里",
        "招商银行",
    ),
    *("平安", "中芯", "华为", "宁德时代", "新华社", "财联社", "路透", "彭博"),
)


def stories(language: Language, seed: int = 1):
    """Three stories of every template."""
    rng = random.Random(seed)
    grammar = grammar_of(language)
    for event in (*grammar.stories, *grammar.crisis, *grammar.decoy):
        for _ in range(3):
            cast = rng.sample(candidates(event), 2) if len(candidates(event)) > 1 else companies()[:2]
            yield event, write_story(rng, event, story="s", kind="quiet", language=language, moment=NOW, cast=cast)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_topic_has_every_tone(language):
    found = {(event.topic, event.tone) for event in grammar_of(language).stories}
    assert found == {(topic, tone) for topic in TOPIC_KEYS for tone in TONES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_slot_of_the_grammar_is_known(language):
    """Every template of the grammar: a slot that nothing fills raises KeyError."""
    grammar = grammar_of(language)
    pools = [*grammar.quotes.values(), *grammar.closings.values(), *grammar.details.values()]
    texts = [text for pool in pools for text in pool]
    for event in (*grammar.stories, *grammar.crisis, *grammar.decoy):
        texts += [*event.titles, *event.leads, *event.details]
    values = Values(random.Random(1), language, NOW, companies()[:2], grammar.values, grammar.sectors)
    for text in texts:
        for slot in re.findall(r"\{(\w+)\}", text):
            assert slot in grammar.words or values[slot], text
    assert set(grammar.details) == set(TOPIC_KEYS)
    assert set(grammar.sectors) == set(sectors())


@pytest.mark.parametrize("language", LANGUAGES)
def test_stories_read_as_text(language):
    for event, story in stories(language):
        texts = (story.title, *story.sentences, story.closing, *story.closings)
        assert 2 <= len(story.sentences) + 1 <= 6
        for text in texts:
            assert not re.search(r"[{}]|  |\.\.|。。|，，| ,|%%", text), (event.titles[0], text)
        if language == "zh":
            assert all(text.endswith(("。", "”", "」")) for text in texts[1:]), texts
            assert all(HAN.search(text) for text in texts)
        else:
            assert not any(HAN.search(text) for text in texts), texts
            assert all(text.endswith((".", '"')) for text in texts[1:]), texts
            assert all(text[0].isupper() or not text[0].isalpha() for text in texts), texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_figure_in_the_title_is_the_figure_in_the_lead(language):
    """Values are drawn once for a story: a fall of 23 % stays one of 23 %."""
    rng = random.Random(4)
    event = next(event for event in grammar_of(language).stories if event.topic == "earnings" and event.tone == "positive")
    agreed = 0
    for _ in range(40):
        story = write_story(rng, event, story="s", kind="quiet", language=language, moment=NOW, cast=rng.sample(companies(), 2))
        [*figures] = re.findall(r"\d+\.\d%", story.title)
        if figures:
            assert figures[0] in story.sentences[0]
            agreed += 1
    assert agreed > 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_companies_named_are_the_ones_that_the_gazetteer_finds(language):
    gazetteer = load_companies(companies_path())
    for event, story in stories(language):
        found = {mention.company for mention in gazetteer.mentions(f"{story.title}\n{story.body}")}
        listed = {mention.company for mention in gazetteer.mentions(" ".join(story.closings))} | found
        assert found <= set(story.companies) <= listed, (event.titles[0], story)


@pytest.mark.parametrize("language", LANGUAGES)
def test_ordinary_stories_have_the_planned_tones(language):
    rng = random.Random(2)
    counts = Counter(quiet_event(rng, language).tone for _ in range(4000))
    for tone, share in TONES.items():
        assert counts[tone] / 4000 == pytest.approx(share, abs=0.03)


def test_the_same_seed_gives_the_same_story():
    assert [story for _, story in stories("zh", 9)] == [story for _, story in stories("zh", 9)]
    assert [story for _, story in stories("en", 9)] != [story for _, story in stories("en", 10)]


def test_a_title_without_a_lead_is_rejected():
    with pytest.raises(ValueError, match="without a lead"):
        EventTemplate(topic="macro", titles=("a", "b"), leads=("c",), paired=True)


def test_every_sector_has_six_companies_with_names_of_their_own():
    assert len(companies()) == 60
    assert set(Counter(company.sector for company in companies()).values()) == {6}
    names = [name for company in companies() for name in (company.key, company.name_en, company.name_zh, *company.aliases)]
    assert len(set(names)) == len(names)
    assert all(HAN.search(company.name_zh) and company.name_en.isascii() for company in companies())


def test_no_name_contains_a_real_one():
    names = [name for company in companies() for name in (company.name_en, company.name_zh, *company.aliases)]
    names += [paper.name for paper in PAPERS]
    for language in LANGUAGES:
        names += [*grammar_of(language).values["analyst"], *grammar_of(language).values["agency"]]
    for name in names:
        assert not [real for real in REAL if real.lower() in name.lower()], name


def test_no_company_is_listed_anywhere():
    """Against the tables of listed companies that we develop with."""
    listed = "\n".join(path.read_text("utf8") for path in (shared_dir() / "data" / "symbols").glob("*.csv")).lower()
    assert len(listed) > 100_000
    for company in companies():
        for name in (company.name_en, company.name_zh, *company.aliases):
            assert not re.search(rf"(?<![a-z]){re.escape(name.lower())}(?![a-z])", listed), name


def test_each_language_has_papers_with_full_text_and_one_without():
    for language in LANGUAGES:
        papers = papers_of(language)
        assert [paper.full for paper in papers].count(False) == 1
        assert {paper.form for paper in papers} == {"rss", "atom"}
        assert sum(paper.weight for paper in papers) == pytest.approx(1)
