"""Baseline classifiers: TF-IDF with logistic regression, and a convolutional network."""

from __future__ import annotations

import pytest

from core.errors import SettingsError
from models.evaluation.baselines import evaluate_baseline, tokens_of
from models.evaluation.labelled_files import Labelled
from tests.helpers.labelled_files import sentences, write


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


def test_a_baseline_uses_the_target_of_a_row(tmp_path):
    """The texts are the same, so only the company distinguishes the labels."""
    rows = [
        {"text": f"Acme sued by Velmont {i}", "entity": company, "label": label}
        for i in range(40)
        for company, label in (("Acme", "negative"), ("Velmont", "positive"))
    ]
    found = evaluate_baseline("tfidf", write(tmp_path / "a.jsonl", rows[:60]), write(tmp_path / "b.jsonl", rows[60:]), "sentiment")
    assert found.accuracy == 1.0


def test_the_error_for_an_unknown_baseline_lists_the_known_ones(tmp_path):
    with pytest.raises(SettingsError, match="tfidf or textcnn"):
        evaluate_baseline("svm", tmp_path / "a", tmp_path / "b", "topic")


def test_tokens_are_words_and_single_chinese_characters():
    row = Labelled(1, "Acme涨停 12%", ("x",), True, "zh", True, target="Acme")
    assert tokens_of(row) == ["acme", "涨", "停", "1", "2", "%", "acme"]
