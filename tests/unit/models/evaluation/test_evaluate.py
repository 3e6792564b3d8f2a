"""Evaluation on labelled files: usable rows, the head that is scored, errors, and fine-tuning."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import torch

from core.errors import ModelError, SettingsError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.evaluation.benchmark import FineTuneOptions, evaluate_fine_tuned, in_dev
from models.evaluation.evaluate import evaluate_file, own_set, to_tokens
from models.evaluation.labelled_files import read_labelled, read_tagged
from models.heads import LabelSet
from models.inference.classifier import Document, Prediction, SentimentProbabilities
from models.inference.keyword import KeywordClassifier
from models.inference.transformer import TransformerClassifier
from tests.helpers.labelled_files import sentences, write
from tests.helpers.tiny_model import tiny_classifier, tiny_network

ROWS = [
    {"text": "Brenholm defaults on its debt", "label": "negative", "lang": "en"},
    {"text": "Brenholm wins an order and profit rises", "label": "positive", "lang": "en"},
    {"text": "远舟控股债券违约", "label": "negative", "lang": "zh"},
    {"text": "Brenholm to hold its meeting on Tuesday", "label": "neutral", "lang": "en"},
]


class Fixed:
    """Returns the same prediction for every document and records the documents."""

    version = "fixed-1"

    def __init__(self, **predicted: Any) -> None:
        self.predicted = {"sentiment": SentimentProbabilities(0.2, 0.5, 0.3), "topics": {"legal": 0.9}, **predicted}
        self.asked: list[Document] = []

    def classify(self, documents: Sequence[Document]) -> list[Prediction]:
        self.asked += documents
        return [
            Prediction(**self.predicted, companies=(SentimentProbabilities(0.9, 0.05, 0.05),) * len(document.companies))
            for document in documents
        ]


@pytest.mark.parametrize("packed", [False, True])
def test_invalid_rows_of_a_file_are_skipped_and_counted(tmp_path, packed):
    broken = ["{not json", "[]", {"text": " ", "label": "negative"}, {"text": "x"}, {"text": "x", "label": "joyful"}]
    found = evaluate_file(KeywordClassifier(), write(tmp_path / "a.jsonl", [*ROWS, "", *broken], packed=packed), "sentiment", resamples=50)
    assert (found.n, found.accuracy, found.bad_rows) == (4, 1.0, 5)
    assert [line.split(":")[0] for line in found.bad] == ["line 6", "line 7", "line 8", "line 9", "line 10"]
    assert {name: part.n for name, part in found.by_language.items()} == {"en": 3, "zh": 1}
    assert found.interval["macro_f1"] == (1.0, 1.0)
    shown = msgspec.to_builtins(found)
    assert {"task": "sentiment", "model": "keyword-1", "data": "a.jsonl", "label_space": "sentiment"}.items() <= shown.items()
    assert {"n", "accuracy", "macro_f1", "micro_f1", "weighted_f1", "ece", "per_class", "by_language", "interval", "seconds"} <= set(shown)


@pytest.mark.parametrize("content", [b"", b"\n", b'{"text": "x"}\n', b"\xff\xfe\n", b"\x1f\x8b\x08broken"])
def test_a_file_without_usable_rows_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=r"odd\.jsonl"):
        evaluate_file(KeywordClassifier(), path, "sentiment")


def test_rows_with_a_company_and_posts_use_their_own_heads(tmp_path):
    rows = [
        {"text": "Acme falls", "label": "negative", "entity": "Acme"},
        {"text": "价格上涨", "label": "neutral", "aspect": " 价格 ", "genre": "social"},
        {"text": "flat", "label": "neutral"},
    ]
    classifier = Fixed()
    found = evaluate_file(classifier, write(tmp_path / "a.jsonl", rows), "sentiment", genre="filing")
    assert [(d.companies, d.genre, d.language) for d in classifier.asked] == [
        (("Acme",), "filing", "en"),
        (("价格",), "social", "zh"),
        ((), "filing", "en"),
    ]
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.by_language == {}  # no row names its language


def test_only_classes_of_the_file_can_be_predicted(tmp_path):
    rows = [{"text": "a", "label": "negative"}, {"text": "b", "label": "positive"}]
    found = evaluate_file(Fixed(), write(tmp_path / "a.jsonl", rows), "sentiment")  # .2, .5, .3: neutral if it could
    assert set(found.per_class) == {"negative", "positive"}
    assert found.per_class["positive"].recall == 1.0


def test_labels_of_the_taxonomy_are_scored_directly(tmp_path):
    rows = [{"text": "a", "labels": ["legal"]}, {"text": "b", "labels": ["legal", "crypto"]}]
    found = evaluate_file(Fixed(), write(tmp_path / "a.jsonl", rows), "topic")
    assert (found.label_space, found.accuracy) == ("taxonomy", 0.5)
    assert found.micro_f1 == pytest.approx(0.8)


def test_labels_of_a_known_source_are_mapped_and_unmapped_rows_ignored(tmp_path):
    rows = [{"text": "a", "labels": ["M&A"], "source": "twitter_topic"}, {"text": "b", "labels": ["?"], "source": "twitter_topic"}]
    found = evaluate_file(Fixed(topics={"mergers": 0.7}), write(tmp_path / "a.jsonl", rows), "topic")
    assert (found.label_space, found.n, found.accuracy) == ("mapped:twitter_topic", 1, 1.0)


def test_the_error_for_unknown_labels_suggests_a_training_file(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"text": "a", "labels": ["weather"]}])
    with pytest.raises(SettingsError, match=r"weather.*--train"):
        evaluate_file(KeywordClassifier(), path, "topic")


def own_classifier() -> TransformerClassifier:
    """A classifier with random weights and original labels of two sets."""
    classifier = tiny_classifier(tiny_network({"sentiment": 3, "topics": len(TOPIC_KEYS), "labels": 5}))
    sets = {"first": LabelSet(("x", "y"), exclusive=True), "finnl": LabelSet(("经济", "大盘", "公司"), exclusive=False)}
    manifest = msgspec.structs.replace(classifier.manifest, labels=sets)
    return TransformerClassifier(classifier.network, classifier.tokenizer, manifest)


def test_original_labels_of_a_training_set_are_scored_beside_the_taxonomy(tmp_path):
    rows = [{"text": f"大盘上涨{i}", "labels": ["经济", "大盘"], "source": "finnl", "lang": "zh"} for i in range(4)]
    found = evaluate_file(own_classifier(), write(tmp_path / "a.jsonl", rows), "topic", resamples=20)
    assert found.label_space == "own:finnl"
    assert set(found.per_class) <= {"经济", "大盘", "公司"}
    assert found.mapped is not None
    assert found.mapped.n == 4
    assert set(found.mapped.per_class) <= set(TOPIC_KEYS)
    single = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
    found = evaluate_file(own_classifier(), write(tmp_path / "b.jsonl", single), "topic")
    assert (found.label_space, found.mapped) == ("own:first", None)
    assert sum(score.support for score in found.per_class.values()) == 2


def test_a_label_set_is_recognised_by_source_or_by_most_of_its_labels():
    sets = {"a": LabelSet(("x", "y"), exclusive=True), "b": LabelSet(("x", "z"), exclusive=True)}
    assert own_set({"x": 5, "z": 5}, "", sets) == "b"
    assert own_set({"x": 9, "rare": 1}, "a", sets) == "a"
    assert own_set({"x": 9, "rare": 1}, "elsewhere", sets) == ""
    assert own_set({"q": 1}, "a", sets) == ""
    assert own_set({"x": 1}, "a", {}) == ""


def test_risk_events_may_use_our_keys_or_those_of_finese(tmp_path):
    rows = [{"text": "a", "labels": ["财务造假", "其他"]}, {"text": "b", "labels": []}, {"text": "c", "labels": ["fraud"]}]
    path = write(tmp_path / "a.jsonl", rows)
    with pytest.raises(ModelError, match="risk events"):
        evaluate_file(KeywordClassifier(), path, "risk")
    network = tiny_network({"sentiment": 3, "topics": len(TOPIC_KEYS), "risks": len(RISK_KEYS)})
    with torch.no_grad():
        network.head("risks").weight.zero_()
        network.head("risks").bias.fill_(-9.0)
        network.head("risks").bias[2] = 9.0  # accounting_fraud, of everything
    found = evaluate_file(tiny_classifier(network), path, "risk")
    assert (found.label_space, found.n) == ("risks", 3)
    assert found.per_class["accounting_fraud"].precision == pytest.approx(1 / 3)
    assert found.per_class["fraud"].recall == 0.0
    with pytest.raises(SettingsError, match="weather"):
        evaluate_file(tiny_classifier(network), write(tmp_path / "b.jsonl", [{"text": "a", "labels": ["weather"]}]), "risk")


def test_entities_need_a_tocsin_model_with_the_head(tmp_path):
    path = write(tmp_path / "a.jsonl", [{"tokens": ["Acme", "fell"], "tags": ["B-ORG", "O"]}])
    with pytest.raises(ModelError, match="not a Tocsin model"):
        evaluate_file(KeywordClassifier(), path, "entities")
    with pytest.raises(ModelError, match="tags"):
        evaluate_file(tiny_classifier(), path, "entities")


def test_tagged_rows_become_spans_and_token_offsets(tmp_path):
    rows = [
        {"tokens": ["In", "New", "York"], "tags": ["O", "B-LOC", "I-LOC"], "lang": "en"},
        {"tokens": ["远", "舟", "涨"], "tags": ["B-ORG", "I-ORG", "O"]},
        {"tokens": ["a"], "tags": []},
        {"tokens": "a", "tags": "O"},
    ]
    found = read_tagged(write(tmp_path / "a.jsonl", rows))
    assert [(row.text, [row.text[s.start : s.end] for s in row.spans]) for row in found.rows] == [
        ("In New York", ["New York"]),
        ("远舟涨", ["远舟"]),
    ]
    assert [line.split(":")[0] for line in found.bad] == ["line 3", "line 4"]
    assert [row.text[slice(*place)] for row in found.rows for place in row.tokens] == ["In", "New", "York", "远", "舟", "涨"]


def test_a_span_is_extended_to_whole_tokens():
    tokens = ((0, 2), (3, 6), (7, 11))
    assert to_tokens(4, 9, tokens) == (3, 11)
    assert to_tokens(3, 6, tokens) == (3, 6)
    assert to_tokens(2, 3, tokens) == (2, 3)  # the space between: nothing is touched


def test_a_label_may_be_a_number(tmp_path):
    assert read_labelled(write(tmp_path / "a.jsonl", [{"text": "a", "label": 3}])).rows[0].labels == ("3",)


QUICK = FineTuneOptions(epochs=6, lr=3e-3, batch_tokens=256, threads=1, patience=4)


@pytest.mark.parametrize("multi", [False, True])
def test_fine_tuning_learns_the_labels_of_a_file_and_leaves_the_model_unchanged(tmp_path, multi):
    learned = write(tmp_path / "train.jsonl", sentences(240, 1, multi=multi))
    asked = sentences(40, 2, multi=multi)
    data = write(tmp_path / "test.jsonl.gz", [*asked, "broken"], packed=True)
    classifier = tiny_classifier()
    before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    found = evaluate_fine_tuned(classifier, learned, data, "topic", options=QUICK, resamples=20)
    assert found.micro_f1 > 0.9
    assert found.label_space == "trained:train.jsonl"
    assert (found.n, found.bad_rows) == (40, 1)
    assert found.training is not None
    assert found.training["labels"] == 2
    assert sum(int(found.training[name]) for name in ("rows", "dev_rows")) == 240
    again = evaluate_fine_tuned(classifier, learned, data, "topic", options=QUICK, resamples=20)
    assert (again.per_class, again.ece) == (found.per_class, found.ece)
    assert all(bool((value == before[name]).all()) for name, value in classifier.network.state_dict().items())


def test_fine_tuning_learns_entities(tmp_path):
    rng = random.Random(1)

    def row(i: int) -> dict[str, Any]:
        name, place = rng.choice(("Brenholm", "Tallis")), rng.choice(("Lisbon", "Ostrava"))
        return {"tokens": [name, "opens", "in", place, str(i)], "tags": ["B-ORG", "O", "O", "B-LOC", "O"], "lang": "en"}

    learned = write(tmp_path / "train.jsonl", [row(i) for i in range(200)])
    data = write(tmp_path / "test.jsonl", [row(i) for i in range(500, 520)])
    found = evaluate_fine_tuned(tiny_classifier(), learned, data, "entities", options=QUICK, resamples=0)
    assert found.micro_f1 > 0.9
    assert set(found.per_class) == {"ORG", "LOC"}


def test_texts_of_the_test_file_are_removed_from_training(tmp_path):
    rows = sentences(60, 1)
    upper_case = [{**row, "text": str(row["text"]).upper()} for row in rows[:20]]
    found = evaluate_fine_tuned(
        tiny_classifier(),
        write(tmp_path / "train.jsonl", rows),
        write(tmp_path / "t.jsonl", upper_case),
        "topic",
        options=QUICK,
        resamples=0,
    )
    assert found.training is not None
    assert found.training["seen_in_data"] == 20
    assert sum(int(found.training[name]) for name in ("rows", "dev_rows")) == 40


def test_fine_tuning_needs_two_labels(tmp_path):
    path = write(tmp_path / "train.jsonl", [{"text": str(i), "label": "x"} for i in range(30)])
    with pytest.raises(SettingsError, match="1 label"):
        evaluate_fine_tuned(tiny_classifier(), path, write(tmp_path / "t.jsonl", [{"text": "a", "label": "x"}]), "topic", options=QUICK)


def test_dev_is_about_a_tenth_whatever_case_and_white_space():
    held = [in_dev(f"headline number {i}") for i in range(2000)]
    assert 150 < sum(held) < 250
    assert all(in_dev(f" Headline  NUMBER {i}") == held[i] for i in range(50))


def test_the_command_prints_json_and_reports_invalid_rows_on_stderr(tmp_path, monkeypatch, capsys):
    from tocsin.cli.main import main

    monkeypatch.setenv("TOCSIN_MODEL", "keyword")
    path = write(tmp_path / "a.jsonl", [*ROWS, "{"])
    assert main(["evaluate", "--data", str(path), "--task", "sentiment", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["accuracy"] == 1.0
    assert "line 5" in shown.err
    assert main(["evaluate", "--data", str(path), "--task", "sentiment"]) == 0
    assert "macro F1" in capsys.readouterr().out
    assert main(["evaluate", "--data", str(path), "--task", "topic"]) == 2
    assert "--train" in capsys.readouterr().err
    assert main(["evaluate", "--data", str(path), "--task", "topic", "--train", str(path)]) == 1
    assert "not a network trained by Tocsin" in capsys.readouterr().err
