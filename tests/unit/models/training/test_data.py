"""Training examples: labels mapped to the taxonomy, and rows to examples."""

from __future__ import annotations

from core.taxonomy import TOPIC_KEYS
from models.training.data import examples, sentiment_targets
from models.training.label_mapping import MAPPINGS, known_topics, topic_targets


def test_every_source_label_maps_into_the_taxonomy():
    for mapping in MAPPINGS.values():
        mapped = {key for keys in [*mapping.labels.values(), *mapping.unsure.values(), mapping.known, mapping.hinted] for key in keys}
        assert mapped <= set(TOPIC_KEYS)


def test_a_set_supervises_only_topics_that_it_labels():
    mapped = topic_targets("finnl", ["债券"], "中期票据发行完成")
    assert mapped is not None
    targets, weights = (dict(zip(TOPIC_KEYS, values, strict=True)) for values in mapped)
    assert targets["credit"] == weights["credit"] == 1.0
    assert weights["macro"] == 1.0
    assert targets["macro"] == 0.0
    assert weights["markets"] == 0.0  # undecided by the set
    assert topic_targets("fpb", [], "Profit rose") is None
    assert topic_targets("reuters21578", ["ship"], "Tanker rates") is None


def test_a_phrase_replaces_a_missing_label_with_less_weight():
    mapped = topic_targets("twitter_topic", ["Markets"], "Bitcoin slips below 20,000")
    assert mapped is not None
    assert mapped[0][TOPIC_KEYS.index("crypto")] == 1.0
    assert 0.0 < mapped[1][TOPIC_KEYS.index("crypto")] < 1.0


def test_known_topics_are_those_that_labels_map_to():
    assert known_topics("ag_news") == ("technology", "politics", "other")


def test_partial_labels_restrict_the_possible_classes():
    assert sentiment_targets({"label": "negative", "source": "wwwxmu"}) == ((True, False, False), (True, False, True))
    assert sentiment_targets({"label": "not_negative", "source": "finnsp"}) == ((False, True, True), (True, True, True))
    assert sentiment_targets({"labels": ["财务造假"], "source": "finese"}) == (
        (False,) * 3,
        (False,) * 3,
    )  # a risk event is not a sentiment
    assert sentiment_targets({"labels": ["其他"], "source": "finese"}) == ((False,) * 3, (False,) * 3)


def test_rows_about_one_text_become_pairs_and_agreeing_ones_a_document():
    rows = [
        {"text": "A beats B", "label": "positive", "entity": "A", "source": "sentfin", "lang": "en"},
        {"text": "A beats B", "label": "negative", "entity": "B", "source": "sentfin", "lang": "en"},
        {"text": "C soars", "label": "positive", "entity": "C", "source": "sentfin", "lang": "en"},
    ]
    found = examples(rows)
    assert [(e.text, e.target) for e in found] == [("A beats B", "A"), ("A beats B", "B"), ("C soars", "C"), ("C soars", "")]


def test_feedback_rows_cover_the_whole_taxonomy():
    row = {"text": "债券展期", "lang": "zh", "source": "feedback", "task": "topic", "labels": ["credit"]}
    (example,) = examples([row])
    assert [key for key, mapped in zip(TOPIC_KEYS, example.topics, strict=True) if mapped] == ["credit"]
    assert set(example.topic_weights) == {1.0}
    assert example.labels == ()
    (none,) = examples([{**row, "task": "risk", "labels": []}])
    assert set(none.risks) == {0.0}
    assert set(none.risk_weights) == {1.0}
