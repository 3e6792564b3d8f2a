"""What can be said of the models without any weights: batches, labels, metrics, seeds, examples."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ModelError
from core.taxonomy import TOPIC_KEYS
from models.inference.encoding import around, compose, pack, rows_of, width_of
from models.templates import fill_templates, read_templates
from models.training.data import examples, sentiment_targets
from models.training.label_mapping import MAPPINGS, known_topics, topic_targets


@given(st.lists(st.integers(0, 120), max_size=60), st.integers(1, 400))
def test_batches_hold_every_text_once_and_keep_the_budget(lengths, budget):
    batches = pack(lengths, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


@given(st.lists(st.integers(0, 96), min_size=1, max_size=400))
def test_padded_batches_have_few_shapes_and_keep_the_budget(lengths):
    widths = [width_of(length) for length in lengths]
    for batch in pack(widths, 2048):
        width = max(widths[i] for i in batch)
        rows = rows_of(len(batch), width, 2048)
        assert len(batch) <= rows
        assert rows * width <= 2048
        assert max(lengths[i] for i in batch) <= width
        assert rows == 2048 // width or rows & (rows - 1) == 0


def test_no_texts_make_no_batches():
    assert pack([], 2048) == []


@pytest.mark.parametrize(
    ("title", "text", "wanted"),
    [
        ("Bank fails", "Depositors wait.", "Bank fails Depositors wait."),
        ("", "Depositors wait.", "Depositors wait."),
        ("Bank fails", "", "Bank fails"),
        (" ", "\n", ""),
        ("华信股份违约", "【华信股份违约】公司公告称", "华信股份违约 公司公告称"),
        ("华信股份违约", "华信股份违约。公司公告称", "华信股份违约 公司公告称"),
        ("华信股份违约", "华信股份违约", "华信股份违约"),
    ],
)
def test_a_title_is_never_doubled(title, text, wanted):
    assert compose(title, text) == wanted


def test_a_late_mention_brings_its_surroundings():
    text = "Markets were calm. " * 40 + "Velmont defaulted on its bonds."
    assert around(text, "Velmont", 320).endswith("Velmont defaulted on its bonds.")
    assert len(around(text, "Velmont", 320)) < 200
    assert around("Velmont defaulted.", "Velmont", 320) == "Velmont defaulted."
    assert around(text, "Nobody", 320) == text


def test_every_source_label_maps_into_the_taxonomy():
    for mapping in MAPPINGS.values():
        mapped = {key for keys in [*mapping.labels.values(), *mapping.unsure.values(), mapping.known, mapping.hinted] for key in keys}
        assert mapped <= set(TOPIC_KEYS)


def test_a_set_supervises_only_what_it_knows():
    said = topic_targets("finnl", ["债券"], "中期票据发行完成")
    assert said is not None
    targets, weights = (dict(zip(TOPIC_KEYS, values, strict=True)) for values in said)
    assert targets["credit"] == weights["credit"] == 1.0
    assert weights["macro"] == 1.0
    assert targets["macro"] == 0.0
    assert weights["markets"] == 0.0  # a bond flash may be market colour: the set does not say
    assert topic_targets("fpb", [], "Profit rose") is None
    assert topic_targets("reuters21578", ["ship"], "Tanker rates") is None


def test_a_phrase_stands_in_for_a_missing_label():
    said = topic_targets("twitter_topic", ["Markets"], "Bitcoin slips below 20,000")
    assert said is not None
    assert said[0][TOPIC_KEYS.index("crypto")] == 1.0
    assert 0.0 < said[1][TOPIC_KEYS.index("crypto")] < 1.0


def test_known_topics_are_those_a_label_names():
    assert known_topics("ag_news") == ("technology", "politics", "other")


def test_partial_labels_say_only_what_they_know():
    assert sentiment_targets({"label": "negative", "source": "wwwxmu"}) == ((True, False, False), (True, False, True))
    assert sentiment_targets({"label": "not_negative", "source": "finnsp"}) == ((False, True, True), (True, True, True))
    assert sentiment_targets({"labels": ["财务造假"], "source": "finese"})[0] == (True, False, False)
    assert sentiment_targets({"labels": ["其他"], "source": "finese"}) == ((False,) * 3, (False,) * 3)


def test_rows_about_one_text_become_pairs_and_agreeing_ones_a_document():
    rows = [
        {"text": "A beats B", "label": "positive", "entity": "A", "source": "sentfin", "lang": "en"},
        {"text": "A beats B", "label": "negative", "entity": "B", "source": "sentfin", "lang": "en"},
        {"text": "C soars", "label": "positive", "entity": "C", "source": "sentfin", "lang": "en"},
    ]
    found = examples(rows)
    assert [(e.text, e.target) for e in found] == [("A beats B", "A"), ("A beats B", "B"), ("C soars", "C"), ("C soars", "")]


def test_people_and_rehearsals_speak_the_taxonomy_itself():
    row = {"text": "债券展期", "lang": "zh", "source": "feedback", "task": "topic", "labels": ["credit"]}
    (example,) = examples([row])
    assert [key for key, said in zip(TOPIC_KEYS, example.topics, strict=True) if said] == ["credit"]
    assert set(example.topic_weights) == {1.0}
    assert example.labels == ()
    (none,) = examples([{**row, "task": "risk", "labels": []}])
    assert set(none.risks) == {0.0}
    assert set(none.risk_weights) == {1.0}


def test_seeds_are_whole_and_grow_the_same_from_the_same_dice():
    templates = read_templates()
    assert {t.sentiment for t in templates} == {"negative", "neutral", "positive"}
    assert {t.language for t in templates} == {"en", "zh"}
    assert {key for t in templates for key in t.topics} == set(TOPIC_KEYS)
    grown = fill_templates(templates, 2, random.Random(5))
    assert len(grown) == 2 * len(templates)
    assert grown == fill_templates(templates, 2, random.Random(5))
    assert not [seed.text for seed in grown if "{" in seed.text]


def test_a_malformed_seed_line_is_named():
    with pytest.raises(ModelError, match="line 2"):
        read_templates("# head\nen\tnegative\tnonsense\ttext")
