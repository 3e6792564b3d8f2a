"""Seeded noise and its effect on accuracy."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.labelled_files import Labelled
from models.evaluation.robustness import KINDS, measure_noise, noisy, sample_of, typos
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier


@settings(deadline=None)  # the first conversion reads a dictionary
@given(st.text(min_size=1).filter(str.strip), st.sampled_from(sorted(KINDS)))
def test_noise_is_repeatable_and_never_blank(text, kind):
    assert noisy(text, kind) == noisy(text, kind)
    assert noisy(text, kind).strip()


def test_each_kind_of_noise_changes_a_text_as_documented():
    assert noisy("Profit up 5%", "full_width") == "Ｐｒｏｆｉｔ ｕｐ ５％"
    assert noisy("净利ＡＢＣ，增５％", "half_width") == "净利ABC,增5%"
    assert noisy("软件债券", "traditional") == "軟件債券"
    assert noisy("0123456789", "truncated") == "012345"
    assert noisy("Acme falls", "upper") == "ACME FALLS"
    assert set("Acme falls") <= set(noisy("Acme falls", "stray"))
    assert len(noisy("Acme falls", "stray")) > len("Acme falls")
    assert noisy("Acme falls sharply", "typos", seed=1) != noisy("Acme falls sharply", "typos", seed=2)


def test_typos_change_one_letter_in_twelve_and_no_digits():
    text = "abcdefghijkl" * 5 + " 123,456"
    for seed in range(20):
        found = typos(text, random.Random(seed))
        assert found.endswith(" 123,456")
        assert found != text
        assert abs(len(found) - len(text)) <= 5


class UpperCaseFails:
    """Correct, except for texts in upper case."""

    version = "upper-case-fails"

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        good, bad = SentimentProbabilities(0.9, 0.05, 0.05), SentimentProbabilities(0.05, 0.05, 0.9)
        return [Prediction(bad if d.text.isupper() else good, {"other": 1.0}) for d in documents]


def test_noise_is_measured_on_the_same_rows():
    rows = [Labelled(i, f"Acme falls {i}", ("negative",), True, "en", True) for i in range(20)]
    found = {
        fall.kind: fall
        for fall in measure_noise(UpperCaseFails(), [*rows, Labelled(99, "x", ("positive",), True, "en", True)], "sentiment")
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
