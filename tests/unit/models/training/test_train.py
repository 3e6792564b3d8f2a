"""Training end to end, with a network of one or two layers and labelled sets made from templates."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS, LabelSet, Shape, head_sizes, label_columns
from models.inference.loader import load_classifier
from models.inference.network import Network, pack_weights, unpack_weights
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, read_verified, shipped, write_version
from models.templates import fill_templates, read_templates
from models.training.checkpoint import Checkpointer
from models.training.data import DatasetMix, own_labels, read_split
from models.training.derive import average, recalibrate
from models.training.fit import class_weights, learning_rate_factor
from models.training.losses import binary_loss, sentiment_loss
from models.training.methods import METHODS, Adapter, prune
from models.training.parallel import AcceleratedGradients, ThreadedGradients
from models.training.train import Run, TrainingOptions, train
from tests.helpers.tiny_model import shipped_tokenizer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = TrainingOptions(epochs=1, layers=(0, 1), lr=5e-3, head_lr_scale=2.0, batch_tokens=512, per_template=0, checks=1, version="tiny-2")
LABELS = {"finnl": LabelSet(("经济", "债券"), exclusive=False)}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled sets with names known to training."""
    folder = tmp_path_factory.mktemp("data")
    seeds = fill_templates(read_templates(), 1, random.Random(1))
    for split in ("train", "dev"):
        some = seeds[::2] if split == "train" else seeds[1::2]
        sentiment_rows = [{"text": s.text, "label": s.sentiment, "lang": s.language, "genre": "news", "source": "fpb"} for s in some]
        _write(folder / "sentiment" / f"fpb.{split}.jsonl.gz", sentiment_rows)
        topics = [("债券", "公司债券发行"), ("经济", "居民消费价格上涨")] * 45  # at least 40 rows make a label
        rows = [{"text": f"{text}{i}号", "labels": [label], "lang": "zh", "source": "finnl"} for i, (label, text) in enumerate(topics)]
        _write(folder / "topic" / f"finnl.{split}.jsonl.gz", rows)
        tokens, tags = ["Ann", "Lee", "left", "Acme", "Corp"], ["B-PER", "I-PER", "O", "B-ORG", "I-ORG"]
        _write(
            folder / "ner" / f"finer_ord.{split}.jsonl.gz",
            [{"text": "x", "tokens": tokens, "tags": tags, "lang": "en", "source": "finer_ord"}] * 20,
        )
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version with two untrained layers."""
    torch.manual_seed(3)
    tokenizer = shipped_tokenizer()
    network = Network(Shape(tokenizer.get_vocab_size(), 32, 2, 2, 64, 128, 1e-5, head_sizes(LABELS)))
    folder = tmp_path_factory.mktemp("start") / "tiny-1"
    manifest = Manifest("tiny-1", NOW, SENTIMENTS, TOPIC_KEYS, {"sentiment.en": 1.5}, {}, 64, {}, {}, {}, {}, RISK_KEYS, LABELS)
    shape = json.dumps({name: getattr(network.shape, name) for name in Shape.__slots__}).encode()
    contents = {WEIGHTS: pack_weights(network.state_dict()), TOKENIZER: tokenizer.to_str().encode(), CONFIG: shape, README: b"tiny"}
    write_version(folder, contents, manifest)
    return folder


def _matrix(network: Network, name: str) -> torch.Tensor:
    """The weight of a matrix of the first layer."""
    return dict(network.named_parameters())[f"layers.0.{name}.weight"]


def _slope(network: Network) -> torch.Tensor:
    """A copy of the gradient of the sentiment head."""
    slope = network.head("sentiment").weight.grad
    assert slope is not None
    return slope.clone()


def _state(folder: Path) -> bytes:
    return read_verified(folder)[1][WEIGHTS]


def test_training_writes_a_version_with_its_origin(data, start, tmp_path):
    options = replace(QUICK, epochs=3)
    manifest = train(data, tmp_path / "v", now=NOW, options=options, start=start, run=Run(logs=tmp_path / "logs"))
    assert manifest.parent == "tiny-1"
    assert manifest.data["finnl"] == 90
    assert manifest.labels == {"finnl": LabelSet(("债券", "经济"), exclusive=True)}
    assert {"sentiment.en", "topics.zh", "risks.zh", "labels.finnl"} <= set(manifest.temperatures)
    assert "entity_tags" in manifest.dev["finer_ord"]
    assert list((tmp_path / "logs").glob("events*"))
    classifier = load_classifier(tmp_path / "v")
    assert isinstance(classifier, TransformerClassifier)
    assert not (tmp_path / "v.checkpoint").exists()
    # the two labels of finnl are separated, which an untrained network does not do
    logits = classifier.logits([("公司债券发行7号", ""), ("居民消费价格上涨8号", "")])["labels"]
    assert logits.argmax(1).tolist() == [0, 1]


def test_recalibration_matches_training_and_changes_no_weights(data, start, tmp_path):
    trained = train(data, tmp_path / "v", now=NOW, options=QUICK, start=start)
    again = recalibrate(data, tmp_path / "v", tmp_path / "w", now=NOW, version="w")
    assert (again.temperatures, again.thresholds, again.abstain) == (trained.temperatures, trained.thresholds, trained.abstain)
    assert (again.version, again.parent, again.files, again.dev) == ("w", "tiny-2", trained.files, trained.dev)
    assert load_classifier(tmp_path / "w").version == "w"


def test_an_average_has_the_weighted_mean_of_the_weights(data, start, tmp_path):
    train(data, tmp_path / "a", now=NOW, options=QUICK, start=start)
    train(data, tmp_path / "b", now=NOW, options=replace(QUICK, seed=14), start=start)
    made = average(data, [(tmp_path / "a", 1.0), (tmp_path / "b", 3.0)], tmp_path / "mean", now=NOW, version="mean")
    a, b, mean = (unpack_weights(_state(tmp_path / name)) for name in ("a", "b", "mean"))
    name = "layers.0.qkv.weight"
    torch.testing.assert_close(mean[name].float(), 0.25 * a[name].float() + 0.75 * b[name].float(), atol=2e-3, rtol=0.02)
    assert made.settings["average"] == "tiny-2 0.25, tiny-2 0.75"
    with pytest.raises(ModelError, match="differ in sizes"):
        average(data, [(start, 0.5), (tmp_path / "a", 0.5)], tmp_path / "no", now=NOW, version="no")


def test_only_a_full_run_can_be_resumed(data, start, tmp_path):
    with pytest.raises(ModelError, match="--method full"):
        train(data, tmp_path / "v", now=NOW, options=replace(QUICK, method="heads"), start=start, run=Run(resume=True))


def test_the_same_seed_gives_the_same_weights(data, start, tmp_path):
    for name in ("a", "b"):
        train(data, tmp_path / name, now=NOW, options=QUICK, start=start)
    assert _state(tmp_path / "a") == _state(tmp_path / "b")


def test_a_resumed_run_has_the_same_result(data, start, tmp_path, monkeypatch):
    whole = train(data, tmp_path / "whole", now=NOW, options=QUICK, start=start)
    real = ThreadedGradients.gradients
    steps: list[int] = []

    def interrupted(self, batches):
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(1)
        return real(self, batches)

    monkeypatch.setattr(ThreadedGradients, "gradients", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", now=NOW, options=QUICK, start=start)
    monkeypatch.undo()
    assert (tmp_path / "cut.checkpoint").is_dir()
    resumed = train(data, tmp_path / "cut", now=NOW, options=QUICK, start=start, run=Run(resume=True))
    assert resumed.files[WEIGHTS] == whole.files[WEIGHTS]


def test_a_checkpoint_of_another_run_is_refused(data, start, tmp_path, monkeypatch):
    monkeypatch.setattr(ThreadedGradients, "gradients", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "v", now=NOW, options=QUICK, start=start)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="other options"):
        train(data, tmp_path / "v", now=NOW, options=replace(QUICK, lr=1e-3), start=start, run=Run(resume=True))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_returns_a_plain_network(method, data, start, tmp_path):
    manifest = train(data, tmp_path / "v", now=NOW, options=replace(QUICK, method=method), start=start)
    assert manifest.settings["method"] == method
    classifier = load_classifier(tmp_path / "v")
    assert isinstance(classifier, TransformerClassifier)
    before = load_classifier(start)
    assert isinstance(before, TransformerClassifier)
    same = torch.equal(_matrix(classifier.network, "qkv"), _matrix(before.network, "qkv"))
    assert same == (method == "heads")


def test_an_adapter_trains_few_weights():
    network = Network(Shape(100, 64, 2, 2, 128, 32, 1e-5, {"sentiment": 3}))
    everything = sum(p.numel() for p in network.parameters())
    assert Adapter(network, "full", steps=10).trained == everything
    adapter = Adapter(network, "ia3", steps=10)
    assert adapter.trained < everything / 20
    adapter.merge()
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == everything


def test_pruned_weights_stay_zero(data, start, tmp_path):
    train(data, tmp_path / "v", now=NOW, options=replace(QUICK, prune=0.5), start=start)
    classifier = load_classifier(tmp_path / "v")
    assert isinstance(classifier, TransformerClassifier)
    matrices = [m.weight.float() for layer in classifier.network.layers for m in layer.modules() if isinstance(m, torch.nn.Linear)]
    zeros = sum(int((m == 0).sum()) for m in matrices) / sum(m.numel() for m in matrices)
    assert 0.5 <= zeros < 0.55


def test_pruning_removes_the_smallest_weights():
    network = Network(Shape(50, 16, 1, 2, 32, 32, 1e-5, {"sentiment": 3}))
    before = _matrix(network, "wide").detach().clone()
    prune(network, 0.3)
    gone = _matrix(network, "wide") == 0
    assert before[gone].abs().max() <= before[~gone].abs().min()


def test_a_student_is_trained_on_layers_and_logits_of_its_teacher(data, start, tmp_path):
    options = replace(QUICK, layers=(1,), unlabelled=0)
    train(data, tmp_path / "student", now=NOW, options=options, start=start, run=Run(teachers=(start,)))
    assert json.loads((tmp_path / "student" / CONFIG).read_text())["layers"] == 1
    plain = train(data, tmp_path / "plain", now=NOW, options=options, start=start)
    assert plain.files[WEIGHTS] != read_verified(tmp_path / "student")[0].files[WEIGHTS]


def test_a_teacher_with_another_vocabulary_is_refused(data, start, tmp_path):
    other = tmp_path / "other"
    manifest, contents = read_verified(start)
    tokenizer = Tokenizer.from_buffer(contents[TOKENIZER])
    tokenizer.add_tokens(["<new>"])
    write_version(other, {**contents, TOKENIZER: tokenizer.to_str().encode()}, manifest)
    with pytest.raises(ModelError, match="token ids"):
        train(data, tmp_path / "v", now=NOW, options=QUICK, start=start, run=Run(teachers=(other,)))


def test_extra_rows_are_mixed_with_a_share_of_the_labelled_sets(data):
    extra = [{"text": f"gold falls {i}", "label": "negative", "lang": "en", "source": "feedback"} for i in range(200)]
    lessons = DatasetMix.read(data, extra)
    assert 5 < len(lessons.dev["feedback"]) < 40  # about a tenth is kept for dev, by hash
    learned = len(lessons.extra["feedback"])
    assert learned + len(lessons.dev["feedback"]) == 200
    drawn = lessons.draw(0.25, random.Random(1))
    assert sum(e.source == "feedback" for e in drawn) == learned
    assert len(drawn) - learned == pytest.approx(learned / 3, abs=1)


def test_extra_rows_alone_keep_the_calibration_of_the_parent(start, tmp_path):
    rows = tuple({"text": f"gold falls {i}", "label": "negative", "lang": "en", "source": "feedback"} for i in range(60))
    manifest = train(None, tmp_path / "v", now=NOW, options=QUICK, start=start, run=Run(extra=rows))
    assert manifest.temperatures == {"sentiment.en": 1.5}
    assert manifest.labels == LABELS
    with pytest.raises(ModelError, match="give start"):
        train(None, tmp_path / "w", now=NOW, options=QUICK, run=Run(extra=rows))


def test_original_labels_are_exclusive_or_not(data):
    assert own_labels(read_split(data, "train")) == {"finnl": LabelSet(("债券", "经济"), exclusive=True)}
    assert label_columns({"a": LabelSet(("x", "y"), True), "b": LabelSet(("z", "w"), True)}) == {"a": slice(0, 2), "b": slice(2, 4)}


def test_losses_ignore_unknown_labels():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    right, every = torch.tensor([[True, False, False]]), torch.ones(1, 3, dtype=torch.bool)
    assert sentiment_loss(logits, right, every).item() == pytest.approx(-np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(-1))))
    either = torch.tensor([[False, True, True]])
    assert sentiment_loss(logits, either, every).item() == pytest.approx(-np.log((1 + np.exp(-1)) / (np.exp(2) + 1 + np.exp(-1))))
    assert binary_loss(torch.tensor([[0.0, 9.0]]), torch.ones(1, 2), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(np.log(2))


def test_rare_classes_have_a_higher_weight(data):
    found = read_split(data, "train")["fpb"]
    weights = class_weights(found, 0.5)
    counts = {c: sum(e.right == c for e in found) for c in {e.right for e in found}}
    by_class = {e.right: w for e, w in zip(found, weights, strict=True)}
    assert sorted(counts, key=lambda c: counts[c]) == sorted(by_class, key=lambda c: -by_class[c])
    assert set(class_weights(found, 0.0)) == {1.0}


def test_the_learning_rate_rises_and_falls():
    assert learning_rate_factor(0.03, 0.06) == pytest.approx(0.5)
    assert learning_rate_factor(0.06, 0.06) == pytest.approx(1.0)
    assert learning_rate_factor(0.53, 0.06) == pytest.approx(0.5)
    assert learning_rate_factor(1.0, 0.06) == 0.01


def test_two_threads_compute_the_gradient_of_one(data, start):
    from models.inference.encoding import pad
    from models.training.losses import Batch

    def batch(seed: int) -> Batch:
        rng = torch.Generator().manual_seed(seed)
        ids = pad([[0, *torch.randint(5, 500, (6,), generator=rng).tolist(), 2] for _ in range(4)])
        flags = torch.eye(3, dtype=torch.bool)[torch.randint(0, 3, (4,), generator=rng)]
        none = torch.zeros(4, 21), torch.zeros(4, 21), torch.zeros(4, 17), torch.zeros(4, 17)
        return Batch(ids, flags, torch.ones_like(flags), torch.zeros(4, dtype=torch.int64), torch.ones(4), *none,
                     torch.full((4,), -1), torch.zeros(4, 2), torch.full(ids.shape, -100), torch.full((4,), -1))  # fmt: skip

    def loss(outputs, batch):
        from models.training.losses import batch_loss

        return batch_loss(outputs.logits, batch, LABELS)

    found = []
    for threads in (1, 2):
        torch.manual_seed(5)
        network = Network(Shape(600, 32, 1, 2, 64, 32, 1e-5, head_sizes(LABELS)))
        crew = ThreadedGradients(network, loss, threads)
        if threads == 2:
            crew.gradients([batch(1), batch(2)])
            found.append(_slope(network))
        else:
            crew.gradients([batch(1)])
            one = _slope(network)
            crew.gradients([batch(2)])
            found.append((one + _slope(network)) / 2)
        crew.close()
    assert torch.allclose(found[0], found[1], atol=2e-3)


def test_one_process_of_accelerate_trains_too():
    from accelerate import Accelerator

    network = Network(Shape(100, 32, 1, 2, 64, 32, 1e-5, head_sizes({})))
    engine = AcceleratedGradients(network, lambda outputs, batch: outputs.logits["sentiment"].square().sum(), Accelerator(cpu=True))
    assert engine.share(list(range(7))) == list(range(7))
    engine.close()


def test_the_error_for_a_damaged_checkpoint_names_it(tmp_path):
    network = Network(Shape(50, 16, 1, 2, 32, 32, 1e-5, {"sentiment": 3}))
    optimizer = torch.optim.AdamW(network.parameters())
    Checkpointer(tmp_path / "c", "run", resume=False).write(network, optimizer, 3, 1.0)
    (tmp_path / "c" / "network.safetensors").write_bytes(b"half")
    with pytest.raises(ModelError, match="cannot be read"):
        Checkpointer(tmp_path / "c", "run", resume=True).restore(network, optimizer)
    assert Checkpointer(tmp_path / "c", "run", resume=False).restore(network, optimizer) == (0, 0.0)


def test_the_shipped_folder_is_not_written_to():
    assert not (shipped().parent / "weights.checkpoint").exists()


@pytest.mark.parametrize("way", ["dynamic", "static"])
def test_int8_predictions_are_close_to_fp32(way):
    from bench.methods import dynamic_int8, static_int8

    torch.manual_seed(2)
    network = Network(Shape(200, 64, 2, 4, 128, 64, 1e-5, {"sentiment": 3})).eval()
    ids = torch.randint(5, 200, (16, 12))
    quantised = dynamic_int8(network) if way == "dynamic" else static_int8(network, [ids[:8], ids[8:]])
    with torch.inference_mode():
        exact, rounded = network(ids), quantised(ids)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(quantised(ids).pooled, rounded.pooled)
    near = torch.nn.functional.cosine_similarity(exact.pooled, rounded.pooled)
    assert near.min() > 0.99
    assert not torch.equal(exact.pooled, rounded.pooled)
