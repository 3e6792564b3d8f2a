"""Plain classifiers and seeded noise: what they learn, and what noise leaves of a text."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SettingsError
from models.evaluation.baselines import evaluate_baseline, tokens_of
from models.evaluation.labelled_files import Labelled
from models.evaluation.reliability import diagram, ece_of_bins, merge_reliability, reliability
from models.evaluation.robustness import KINDS, measure_noise, noisy, sample_of, typos
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from models.registry.manifest import Abstention
from tests.unit.models.evaluation.test_evaluate import sentences, write


@pytest.mark.parametrize("name", ["tfidf", "textcnn"])
@pytest.mark.parametrize("multi", [False, True])
def test_a_baseline_learns_words_and_is_repeatable(tmp_path, name, multi):
    train = write(tmp_path / "train.jsonl", sentences(240, 1, multi=multi))
    data = write(tmp_path / "test.jsonl", sentences(60, 2, multi=multi))
    found = evaluate_baseline(name, train, data, "topic", resamples=10)
    assert found.micro_f1 > 0.9
    assert (found.model, found.label_space, found.n) == (name, "trained:train.jsonl", 60)
    again = evaluate_baseline(name, train, data, "topic", resamples=10)
    assert again.per_class == found.per_class


def test_a_target_is_told_to_the_baseline(tmp_path):
    """The texts are the same, so the company alone decides."""
    rows = [
        {"text": f"Acme sued by Velmont {i}", "entity": company, "label": label}
        for i in range(40)
        for company, label in (("Acme", "negative"), ("Velmont", "positive"))
    ]
    found = evaluate_baseline("tfidf", write(tmp_path / "a.jsonl", rows[:60]), write(tmp_path / "b.jsonl", rows[60:]), "sentiment")
    assert found.accuracy == 1.0


def test_an_unknown_baseline_names_those_there_are(tmp_path):
    with pytest.raises(SettingsError, match="tfidf or textcnn"):
        evaluate_baseline("svm", tmp_path / "a", tmp_path / "b", "topic")


def test_tokens_are_words_and_single_chinese_characters():
    row = Labelled(1, "Acme涨停 12%", ("x",), True, "zh", True, target="Acme")
    assert tokens_of(row) == ["acme", "涨", "停", "1", "2", "%", "acme"]


@settings(deadline=None)  # the first conversion reads a dictionary
@given(st.text(min_size=1).filter(str.strip), st.sampled_from(sorted(KINDS)))
def test_noise_is_repeatable_and_never_leaves_nothing(text, kind):
    assert noisy(text, kind) == noisy(text, kind)
    assert noisy(text, kind).strip()


def test_noise_of_each_kind():
    assert noisy("Profit up 5%", "full_width") == "Ｐｒｏｆｉｔ ｕｐ ５％"
    assert noisy("净利ＡＢＣ，增５％", "half_width") == "净利ABC,增5%"
    assert noisy("软件债券", "traditional") == "軟件債券"
    assert noisy("0123456789", "truncated") == "012345"
    assert noisy("Acme falls", "upper") == "ACME FALLS"
    assert set("Acme falls") <= set(noisy("Acme falls", "stray"))
    assert len(noisy("Acme falls", "stray")) > len("Acme falls")
    assert noisy("Acme falls sharply", "typos", seed=1) != noisy("Acme falls sharply", "typos", seed=2)


def test_typos_touch_one_letter_in_twelve_and_no_figure():
    text = "abcdefghijkl" * 5 + " 123,456"
    for seed in range(20):
        found = typos(text, random.Random(seed))
        assert found.endswith(" 123,456")
        assert found != text
        assert abs(len(found) - len(text)) <= 5


class Shouting:
    """Right, unless the text shouts."""

    version = "shouting"

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        good, bad = SentimentProbabilities(0.9, 0.05, 0.05), SentimentProbabilities(0.05, 0.05, 0.9)
        return [Prediction(bad if d.text.isupper() else good, {"other": 1.0}) for d in documents]


def test_a_fall_is_measured_on_the_same_rows():
    rows = [Labelled(i, f"Acme falls {i}", ("negative",), True, "en", True) for i in range(20)]
    found = {
        fall.kind: fall for fall in measure_noise(Shouting(), [*rows, Labelled(99, "x", ("positive",), True, "en", True)], "sentiment")
    }
    assert (found["upper"].clean, found["upper"].noisy) == (20 / 21, 1 / 21)
    assert found["truncated"].noisy == found["truncated"].clean
    assert "traditional" not in found
    chinese = [Labelled(1, "债券违约", ("negative",), True, "zh", True), Labelled(2, "业绩大涨", ("positive",), True, "zh", True)]
    assert {fall.kind for fall in measure_noise(KeywordClassifier(), chinese, "sentiment")} >= {"traditional", "half_width", "typos"}


def test_a_sample_is_evenly_spaced():
    rows = [Labelled(i, "x", ("x",), True, "en", True) for i in range(1000)]
    assert [row.line for row in sample_of(rows, 4)] == [0, 250, 500, 750]
    assert len(sample_of(rows, 5000)) == 1000


def test_raw_probabilities_come_back_from_calibrated_ones():
    """Logits 2, 0, -1 with temperature 2: the diagram before calibration must show softmax(2, 0, -1)."""
    logits = np.array([[2.0, 0.0, -1.0]] * 3)
    calibrated, raw = (np.exp(logits / t) / np.exp(logits / t).sum(1, keepdims=True) for t in (2.0, 1.0))
    labels = ["negative", "neutral", "positive"]
    heads, languages = ["sentiment", "sentiment", "social"], ["en", "en", "zh"]
    temperatures, abstain = (
        {"sentiment.en": 2.0, "social.zh": 2.0},
        {"sentiment.en": Abstention(0.6, 0.5), "social.zh": Abstention(0.9, 0.1)},
    )
    found = reliability(labels, calibrated, heads, languages, temperatures, abstain)
    assert sum(c for _, c, _ in found.before["en"]) == pytest.approx(2 * raw.max())
    assert sum(c for _, c, _ in found.after["en"]) == pytest.approx(2 * calibrated.max())
    assert ece_of_bins(found.after["en"]) == pytest.approx(calibrated.max() - 0.5)
    assert [(key, abstention.n, abstention.answered, abstention.right) for key, abstention in found.abstention.items()] == [
        ("sentiment.en", 2, 2, 1),
        ("social.zh", 1, 0, 0),
    ]
    twice = merge_reliability([found, found])
    assert twice.abstention["sentiment.en"].n == 4
    assert ece_of_bins(twice.after["zh"]) == ece_of_bins(found.after["zh"])
    picture = diagram(found)
    assert picture.count("<circle") == 4
    assert "en: ECE" in picture
