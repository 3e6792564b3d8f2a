"""Annotated news items, label files, disguises, near duplicates of test texts, and weights of a starting version."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pytest
import torch

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import LabelSet, Shape, head_sizes, sentiment_columns, sentiment_set
from models.inference.classifier import sigmoid
from models.registry.manifest import Manifest
from models.training.backbone import transferred
from models.training.calibrate import auc, precise_threshold, threshold
from models.training.data import CONTRAST, contrast_examples, examples, in_other_form, own_sentiments
from models.training.disguise import DISGUISES, disguised
from models.training.label_files import join, read_label_file, write_label_file
from models.training.leaks import HeldOutTexts, without_held_out
from models.training.wire import UNSURE_WEIGHT, wire_examples

ITEM = {
    "source": "wire",
    "lang": "en",
    "title": "Fennimore Paper sues Northgate",
    "text": "Fennimore Paper sues Northgate The maker of paper wants damages.",
    "label": "negative",
    "topics": ["legal", "business"],
    "materiality": 2,
    "sure": 0,
    "companies": [{"name": "Fennimore Paper", "label": "neutral"}, {"name": "Northgate", "label": "negative"}],
    "risks": ["crime"],
}


def test_an_item_becomes_a_document_and_a_pair_per_company():
    document, one, other = wire_examples(ITEM)
    assert document.text == ITEM["text"]
    assert document.title == ITEM["title"]
    assert (document.materiality, document.weight, document.head) == (2, UNSURE_WEIGHT, "sentiment")
    assert [key for key, holds in zip(TOPIC_KEYS, document.topics, strict=True) if holds] == ["legal", "business"]
    assert min(document.topic_weights) >= 1.0, "topics that a row does not name are negative"
    assert [key for key, holds in zip(RISK_KEYS, document.risks, strict=True) if holds] == ["crime"]
    assert [(e.target, e.right, e.head) for e in (one, other)] == [
        ("Fennimore Paper", (False, True, False), "company"),
        ("Northgate", (True, False, False), "company"),
    ]


def test_insolvency_is_derived_from_phrases_in_rows_annotated_before_it_existed():
    place = RISK_KEYS.index("insolvency")
    (hit,) = wire_examples({**ITEM, "companies": [], "title": "", "text": "Northgate defaults on its bonds"})
    assert (hit.risks[place], hit.risk_weights[place]) == (1.0, 0.7)
    (asked,) = wire_examples({**ITEM, "companies": [], "insolvency_known": True})
    assert (asked.risks[place], asked.risk_weights[place]) == (0.0, 1.0)


def test_published_sets_have_sentiment_outputs_of_their_own():
    rows = [{"text": "Sales rise", "label": "positive", "source": "fpb", "lang": "en"}]
    rows += [{"text": "A beats B", "label": "positive", "entity": "A", "source": "sentfin", "lang": "en"}]
    rows += [{"text": "Profit up", "label": "positive", "source": "feedback", "lang": "en", "genre": "social"}]
    assert [(e.source, e.head) for e in examples(rows)] == [
        ("fpb", "fpb"),
        ("sentfin", "sentfin.company"),
        ("feedback", "sentiment"),
        ("sentfin", "sentfin"),
    ]
    assert own_sentiments({"fpb": examples(rows[:1]) * 250}) == ("fpb",)
    assert own_sentiments({"fpb": examples(rows[:1])}) == (), "too few rows for outputs of its own"
    assert sentiment_columns(("fpb", sentiment_set("cfsc", "股价")))["cfsc.company"] == slice(3, 6)


def test_contrast_sentences_become_documents_and_pairs():
    row = {
        "lang": "en",
        "kind": "two_sides",
        "label": "neutral",
        "text": "A trades places with B",
        "company": "A",
        "company_label": "negative",
    }
    found = contrast_examples([row, {**row, "company": "", "company_label": ""}])
    assert [(e.source, e.target, e.right.index(True)) for e in found] == [(CONTRAST, "", 1), (CONTRAST, "A", 0), (CONTRAST, "", 1)]


@pytest.mark.parametrize("name", sorted(DISGUISES))
@pytest.mark.parametrize(("language", "text"), [("en", "Fennimore Paper cuts its forecast"), ("zh", "远舟控股下调全年利润预期")])
def test_disguises_are_deterministic_or_random_as_named(name, language, text):
    rng = random.Random(5)
    for _ in range(20):
        other = DISGUISES[name](text, language, rng)
        assert other == DISGUISES[name](text, language, random.Random(0)) or name in ("alert", "dateline", "tail", "ticker", "emoji")
    assert disguised(text, language, random.Random(1))


def test_other_forms_of_a_text_keep_its_labels():
    document = wire_examples(ITEM)[0]
    forms = [in_other_form(document, random.Random(seed)) for seed in range(60)]
    assert {form.right for form in forms} == {document.right}
    assert document.title in {form.text for form in forms}
    assert len({form.text for form in forms}) > 3


def test_label_files_have_no_texts_and_are_joined_to_them(tmp_path):
    rows = [{**ITEM, "stream": "north", "stream_id": "7"}, {**ITEM, "stream": "north", "stream_id": "gone", "companies": [], "risks": []}]
    path = tmp_path / "labels.tsv.gz"
    assert write_label_file(path, rows) == 2
    assert "damages" not in gzip.decompress(path.read_bytes()).decode()
    (tmp_path / "stream").mkdir()
    item = {"id": "7", "lang": "en", "title": ITEM["title"], "text": "The maker of paper wants damages."}
    with gzip.open(tmp_path / "stream" / "north.jsonl.gz", "wt") as file:
        file.write(json.dumps(item) + "\n")
    (found,) = join(list(read_label_file(path)), tmp_path / "stream")
    wanted = {key: value for key, value in rows[0].items() if key != "source"}
    assert {key: found[key] for key in wanted} == wanted
    assert found["source"] == "labels"


@pytest.mark.parametrize(
    "line",
    [
        "north\t7\tx\tlegal\t2\t[]\t\t1",
        "north\t7\tn\tgossip\t2\t[]\t\t1",
        "north\t7\tn\tlegal\t5\t[]\t\t1",
        "north\t7\tn\tlegal\t2\t{\t\t1",
    ],
)
def test_an_invalid_row_of_a_label_file_is_reported_with_its_line(tmp_path, line):
    path = tmp_path / "labels.tsv"
    path.write_text("stream\tstream_id\tlabel\ttopics\tmateriality\tcompanies\trisks\tsure\n" + line + "\n", encoding="utf8")
    with pytest.raises(ModelError, match="line 2"):
        list(read_label_file(path))


def test_near_duplicates_of_held_out_texts_are_found():
    held_out = HeldOutTexts(["Fennimore Paper cuts its forecast after weak orders", "远舟控股下调全年利润预期，订单减少"])
    assert held_out.near("FENNIMORE PAPER cuts its forecast after weak orders!")
    assert held_out.near("Fennimore Paper cuts its forecast after very weak orders")
    assert held_out.near("远舟控股下调全年利润预期 订单减少")
    assert not held_out.near("Northgate raises its dividend")
    rows = [{"title": "", "text": "远舟控股下调全年利润预期，订单减少"}, {"title": "Northgate raises its dividend", "text": "x"}]
    assert without_held_out(rows, held_out) == rows[1:]


def test_a_run_starts_with_the_weights_of_corresponding_outputs():
    old = {"sentiment": 3, "social": 3, "company": 3, "risks": 2, "labels": 2}
    state = {f"{head}.weight": torch.full((size, 4), float(n)) for n, (head, size) in enumerate(old.items(), start=1)}
    state |= {f"{head}.bias": torch.full((size,), float(n)) for n, (head, size) in enumerate(old.items(), start=1)}
    state["risks.weight"] = torch.tensor([[1.0] * 4, [2.0] * 4])
    state["layers.2.norm.bias"] = torch.ones(4)
    labels = {"finnl": LabelSet(("债券", "经济"), exclusive=True)}
    sets = ("fpb", "sentfin.company", "finfe")
    shape = Shape(10, 4, 1, 1, 8, 16, 1e-5, head_sizes(labels, sets))
    manifest = _manifest(("disclosure", "payout_failure"), labels)
    found = transferred(state, manifest, [2], shape, labels, sets)
    assert "social.weight" not in found
    assert found["layers.0.norm.bias"].tolist() == [1.0] * 4
    assert found["set_sentiments.bias"].tolist() == [1.0] * 3 + [3.0] * 3 + [2.0] * 3, "of texts, of companies, of posts"
    assert found["risks.weight"][:, 0].tolist() == [
        {"disclosure": 1.0, "payout_failure": 2.0, "insolvency": 2.0}.get(key, 0.0) for key in RISK_KEYS
    ]
    assert torch.equal(found["labels.weight"], state["labels.weight"])


def _manifest(risks: tuple[str, ...], labels: dict[str, LabelSet]) -> Manifest:
    from datetime import UTC, datetime

    now = datetime(2026, 11, 30, tzinfo=UTC)
    return Manifest("v", now, ("negative", "neutral", "positive"), TOPIC_KEYS, {}, {}, 96, {}, {}, {}, {}, risks, labels)


def test_ties_count_half_in_the_area_under_the_roc_curve():
    assert auc(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])) == 1.0
    assert auc(np.array([0.1, 0.8, 0.9]), np.array([True, False, False])) == 0.0
    assert auc(np.array([0.5, 0.5]), np.array([True, False])) == 0.5
    assert auc(np.array([0.5, 0.5]), np.array([True, True])) == 0.5


def test_a_topic_threshold_is_the_lowest_with_the_precision():
    chance = sigmoid(np.linspace(-4, 4, 200))
    truth = chance > 0.5
    found = precise_threshold(truth, chance)
    assert truth[chance >= found].mean() >= 0.8
    assert truth[chance >= found - 0.05].mean() < 0.9
    assert precise_threshold(np.zeros(200, dtype=bool), chance) > 0.9, "without a correct prediction the threshold is the highest"


def test_a_threshold_of_a_language_overrides_the_common_one():
    known = {"legal": 0.3, "legal.zh": 0.6}
    assert [threshold(known, "legal", "zh"), threshold(known, "legal", "en"), threshold(known, "other", "en")] == [0.6, 0.3, 0.5]
