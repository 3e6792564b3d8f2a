"""Evaluation on wire files, stability, and biases fitted to class frequencies."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch

from core.errors import ModelError, SettingsError
from models.evaluation.evaluate import evaluate_file
from models.evaluation.robustness import changed_share, dateline_changes, disguise_changes
from models.evaluation.wire import materiality_details, multi_label_details, read_wire, sentiment_details
from models.heads import Shape
from models.inference.classifier import Document, Materiality
from models.inference.keyword import KeywordClassifier
from models.inference.network import Network
from models.training.calibrate import DevOutputs, DevRows, shift_priors
from models.training.examples import EVERY, Example, flags_of

LABELS = ("negative", "neutral", "positive")


@pytest.fixture
def wire(tmp_path):
    rows = [
        {"label": "negative", "lang": "en", "title": "Northgate shares plunge", "text": "Northgate shares plunge They fell 9%.", "sure": 1},
        {"label": "positive", "lang": "en", "title": "Fennimore profit surges", "text": "Fennimore profit surges It rose.", "sure": 1},
        {"label": "neutral", "lang": "zh", "title": "", "text": "远舟控股将于周四召开股东大会", "sure": 0},
        {"label": "negative", "lang": "zh", "title": "", "text": "远舟控股亏损扩大", "sure": 1},
    ]
    more = {"topics": ["markets", "earnings"], "materiality": 2, "companies": [{"name": "Northgate", "label": "negative"}], "risks": []}
    path = tmp_path / "wire.test.jsonl"
    path.write_text("".join(json.dumps({**more, **row, "source": "wire"}, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    return path


@pytest.mark.parametrize(("task", "rows"), [("sentiment", 4), ("company", 4), ("topic", 4), ("risk", 4), ("materiality", 4)])
def test_each_task_reads_its_part_of_a_row(wire, task, rows):
    found = read_wire(wire, task)
    assert found is not None
    assert (len(found.rows), found.bad) == (rows, [])
    assert (found.rows[0].title, found.rows[0].text) == ("Northgate shares plunge", "They fell 9%.")
    assert (found.rows[0].target == "Northgate") is (task == "company")


def test_other_files_and_wire_files_without_companies(tmp_path):
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"text": "a", "label": "positive"}\n', encoding="utf8")
    assert read_wire(plain, "sentiment") is None
    bare = {"text": "a", "label": "neutral", "topics": ["other"], "materiality": 0, "companies": [], "risks": []}
    plain.write_text(json.dumps(bare), encoding="utf8")
    with pytest.raises(SettingsError, match="company"):
        read_wire(plain, "company")


def test_sentiment_has_metrics_of_negative_stories(wire):
    found = evaluate_file(KeywordClassifier(), wire, "sentiment", resamples=0)
    assert found.n == 4
    assert set(found.details) == {"all", "en", "zh"}
    assert found.details["en"] == {"accuracy_sure": 1.0, "negative_precision": 1.0, "negative_recall": 1.0}
    with pytest.raises(ModelError, match="materiality"):
        evaluate_file(KeywordClassifier(), wire, "materiality")


def test_metrics_beside_the_row_counts(wire):
    found = read_wire(wire, "sentiment")
    assert found is not None
    probabilities = np.array([[0.6, 0.2, 0.2], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.45, 0.3, 0.25]])
    figures = sentiment_details(found.rows, probabilities)["all"]
    assert figures == {"accuracy_sure": pytest.approx(2 / 3, abs=1e-4), "negative_precision": 0.5, "negative_recall": 0.5}
    topics = read_wire(wire, "topic")
    assert topics is not None
    predicted = [{"markets": 0.9}, {"legal": 0.8}, {"markets": 0.9, "earnings": 0.7}, {"earnings": 0.9}]
    first = ["markets", "legal", "markets", "earnings"]
    assert multi_label_details(topics.rows, predicted, first)["all"] == {
        "first_among_annotated": 0.75,
        "micro_precision": 0.8,
        "micro_recall": 0.5,
    }
    levels = read_wire(wire, "materiality")
    assert levels is not None
    assert materiality_details(levels.rows, np.full((4, 3), 0.7))["all"] == {"auc_relevant": 0.5, "accuracy_relevant": 1.0}


def test_materiality_level_is_the_highest_probable_one():
    assert [Materiality(*row).level for row in ((0.4, 0.1, 0.0), (0.9, 0.4, 0.1), (0.9, 0.5, 0.1), (0.9, 0.8, 0.6))] == [0, 1, 2, 3]


def test_stability_is_the_share_of_changed_predictions():
    assert changed_share([0, 1, 2, 2], [0, 1, 1, 2]) == 0.25
    assert changed_share([], []) == 0.0
    texts = [("en", "Fennimore profit surges"), ("zh", "远舟控股亏损扩大")]
    assert set(disguise_changes(KeywordClassifier(), texts)) > {"alert", "capitals", "traditional", "all"}
    assert dateline_changes(KeywordClassifier(), [("en", "", "Fennimore profit surges")])["dateline"] == 0.0


def test_biases_follow_class_frequencies_given_enough_rows():
    torch.manual_seed(3)
    rng = random.Random(3)
    labels = [rng.choices(LABELS, (1, 6, 3))[0] for _ in range(600)]
    examples = [Example("wire", rng.choice(("en", "zh")), "x", "", flags_of(label), EVERY) for label in labels]
    logits = np.random.default_rng(3).normal(0, 1, (600, 3)).astype(np.float32)
    logits[np.arange(600), [LABELS.index(label) for label in labels]] += 1.5  # a network that learned from classes of one size
    network = Network(Shape(10, 4, 1, 1, 8, 16, 1e-5, {"sentiment": 3}))
    before = network.head("sentiment").bias.detach().clone()
    moved = shift_priors(network, {"wire": DevRows(examples, [])}, {"wire": DevOutputs({"sentiment": logits}, 1.0)})["sentiment"]
    assert moved[1] > moved[2] > moved[0]
    assert torch.allclose(network.head("sentiment").bias, before + torch.tensor(moved), atol=1e-3)
    shifted = logits + np.array(moved)
    truth = np.array([LABELS.index(label) for label in labels])
    assert (shifted.argmax(1) == truth).mean() > (logits.argmax(1) == truth).mean()
    assert shift_priors(network, {"wire": DevRows(examples[:50], [])}, {"wire": DevOutputs({"sentiment": logits[:50]}, 1.0)}) == {}


def test_documents_of_wire_rows(wire):
    from models.evaluation.evaluate import document_of

    found = read_wire(wire, "company")
    assert found is not None
    assert document_of(found.rows[0]) == Document("Northgate shares plunge", "They fell 9%.", "en", ("Northgate",), "news")
