"""The scoreboard and the model card: every file is included, results are cached, and the card is deterministic."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from core.errors import ModelError, SettingsError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.evaluation.card import DIAGRAM, JSON, MARKDOWN, reference_scores, render_card, write_card
from models.evaluation.metrics import METRICS
from models.evaluation.scoreboard import Facts, ResultCache, Results, ScoreboardPlan, Speed, collect_results, files_in
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import Abstention
from tests.helpers.labelled_files import sentences, write
from tests.helpers.tiny_model import tiny_classifier, tiny_network

WANTED = ScoreboardPlan(baselines=("tfidf",), sample=4, resamples=10)


def folder_of(path: Path) -> Path:
    """A folder of labelled sets for each task and both languages, with one set without a training file."""
    for name in ("sentiment", "topic", "ner"):
        (path / name).mkdir(parents=True)
    tones = [
        {"text": f"Acme {word} {i}", "label": label, "lang": "en"}
        for i in range(30)
        for word, label in (("falls", "negative"), ("rises", "positive"), ("meets", "neutral"))
    ]
    write(path / "sentiment" / "fpb.train.jsonl.gz", tones[:60], packed=True)
    write(path / "sentiment" / "fpb.test.jsonl.gz", [*tones[60:], "broken"], packed=True)
    ends = (("跌", "negative"), ("涨", "positive"))
    chinese = [{"text": f"远舟控股{word}{i}", "label": label, "lang": "zh"} for i in range(6) for word, label in ends]
    write(path / "sentiment" / "zh_only.test.jsonl", chinese)
    write(path / "topic" / "mine.train.jsonl", sentences(60, 1))
    write(path / "topic" / "mine.test.jsonl", sentences(20, 2))
    events = (("造假", "财务造假"), ("平安", "其他"))
    risks = [{"text": f"公司{word}{i}", "labels": [label], "lang": "zh"} for i in range(6) for word, label in events]
    write(path / "topic" / "finese.test.jsonl", risks)
    write(path / "ner" / "names.test.jsonl", [{"tokens": ["Acme", "fell"], "tags": ["B-ORG", "O"], "lang": "en"}])
    return path


def classifier_of() -> TransformerClassifier:
    """A classifier with random weights, heads for sentiment, topics and risks but not entities, and temperatures."""
    plain = tiny_classifier(tiny_network({"sentiment": 3, "topics": len(TOPIC_KEYS), "risks": len(RISK_KEYS)}))
    manifest = msgspec.structs.replace(
        plain.manifest,
        temperatures={"sentiment.en": 1.5, "sentiment.zh": 0.7},
        abstain={"sentiment.en": Abstention(0.4, 0.5)},
        data={"fpb": 60},
    )
    return TransformerClassifier(plain.network, plain.tokenizer, manifest)


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[Path, Path, Results]:
    """(data, cache, results)"""
    base = tmp_path_factory.mktemp("card")
    data = folder_of(base / "data")
    return data, base / "cache", collect_results(classifier_of(), base / "weights", data, base / "cache", WANTED)


def test_every_file_is_evaluated_or_has_a_reason_why_not(measured):
    _, _, results = measured
    found = {(file.task, file.name): file for file in results.files}
    assert set(found) == {
        ("sentiment", "fpb"),
        ("sentiment", "zh_only"),
        ("topic", "mine"),
        ("topic", "finese"),
        ("risk", "finese"),
        ("entities", "names"),
    }
    fpb = found["sentiment", "fpb"]
    assert fpb.ours is not None
    assert (fpb.ours.n, fpb.ours.bad_rows, fpb.ours.bad) == (30, 1, ())
    assert fpb.baselines["tfidf"].accuracy == 1.0
    assert fpb.reliability is not None
    assert {result.kind for result in fpb.noise} == {"typos", "full_width", "truncated", "upper", "stray"}
    assert "--train" in found["topic", "mine"].missing
    assert found["topic", "mine"].baselines["tfidf"].accuracy > 0.8  # a file that the model cannot be scored on still has a baseline
    assert "tags" in found["entities", "names"].missing
    assert found["risk", "finese"].ours is not None


def test_cached_results_are_not_computed_again(measured):
    class Silent(TransformerClassifier):
        def logits(self, pairs):
            raise AssertionError(pairs)

    data, cache, results = measured
    made = classifier_of()
    silent = Silent(made.network, made.tokenizer, made.manifest)
    assert collect_results(silent, cache.parent / "weights", data, cache, WANTED) == results


def test_a_changed_stamp_computes_the_result_again(tmp_path):
    cache, made = ResultCache(tmp_path), []

    def compute() -> int:
        made.append(1)
        return len(made)

    assert [cache.get("a", stamp, int, compute) for stamp in ("x", "x", "y", "x")] == [1, 1, 2, 3]
    (tmp_path / "a.json").write_bytes(b'{"stamp": "x", ')
    assert cache.get("a", "x", int, compute) == 4
    with pytest.raises(ModelError):
        cache.get("b", "x", int, _refuse)
    assert not (tmp_path / "b.json").exists()


def _refuse() -> int:
    raise ModelError("no head")


def test_a_folder_without_test_files_is_an_error(tmp_path):
    with pytest.raises(SettingsError, match="sentiment/ or topic/ or ner/"):
        files_in(tmp_path)


def test_the_card_has_all_parts_and_is_deterministic(measured, tmp_path):
    _, _, results = measured
    assert [path.name for path in write_card(results, tmp_path)] == [JSON, MARKDOWN, DIAGRAM]
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    text = first[MARKDOWN].decode()
    titles = ("Sentiment", "Topics", "Risk events", "Entities", "By language", "Published scores", "Calibration")
    for title in (*titles, "Robustness", "Speed and size", "Origin", "Limits"):
        assert f"\n## {title}" in text
    assert "FinBERT (Araci 2019)" in text
    assert "sentiment.en" in text
    assert "not evaluated" in text
    assert "CC BY-NC-SA 3.0" in text
    ElementTree.fromstring(first[DIAGRAM])  # well formed; our own words
    (tmp_path / MARKDOWN).unlink()
    render_card(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_the_card_contains_no_text_of_the_files(measured, tmp_path):
    _, _, results = measured
    for path in write_card(results, tmp_path):
        content = path.read_text(encoding="utf-8")
        assert "Acme" not in content
        assert "远舟" not in content


def test_every_table_row_has_as_many_cells_as_its_header(measured, tmp_path):
    _, _, results = measured
    write_card(results, tmp_path)
    width = 0
    for line in (tmp_path / MARKDOWN).read_text(encoding="utf-8").splitlines():
        width = 0 if not line.startswith("|") else width or line.count("|")
        assert line.count("|") == width or not line.startswith("|"), line


def test_rendering_without_usable_figures_names_the_command(tmp_path):
    with pytest.raises(SettingsError, match="model-card --data FOLDER` first"):
        render_card(tmp_path)
    (tmp_path / JSON).write_text("{}")
    with pytest.raises(SettingsError, match="not the format"):
        render_card(tmp_path)


def test_reference_scores_have_a_known_metric_and_a_source():
    assert all(each.metric in METRICS and each.source and 0 < each.value < 1 for each in reference_scores().reference)


def test_the_command_measures_and_renders(tmp_path, monkeypatch, capsys):
    from tocsin.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TOCSIN_MODEL", "keyword")
    assert main(["model-card"]) == 2
    assert "--data FOLDER" in capsys.readouterr().err
    assert main(["model-card", "--render"]) == 2
    facts = Facts("x-1", "2026-01-01", "", 1, 32, 100, 3200, 0, 64, {"sentiment": 3}, {}, {}, {})
    write_card(Results(facts, Speed(1, 1.0, 1, False), ()), Path("docs"))
    assert main(["model-card", "--render"]) == 0
    assert capsys.readouterr().out.splitlines() == ["docs/model-card.md"]
