"""Which figures does the model card show, and how are they gathered over hours without being lost?

    FOLDER/{sentiment,topic,ner}/SET.test.jsonl.gz ─▶ ours · baselines on SET.train · fine-tuned · noise ─▶ Results

Every figure is kept in a file of its own as soon as it is known, under the model's version and a hash of what it was made of, so
a run that was interrupted goes on where it was, and a changed file is measured again.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import NamedTuple, TypeVar

import msgspec
import torch
from tqdm import tqdm  # type: ignore[import-untyped]

from core.errors import ModelError, SettingsError
from core.files import write_whole
from models.evaluation.baselines import evaluate_baseline
from models.evaluation.benchmark import Options, evaluate_trained
from models.evaluation.evaluate import TASKS, Evaluation, evaluation_of, judge, read_rows_of
from models.evaluation.metrics import RESAMPLES
from models.evaluation.reliability import Reliability, reliability
from models.evaluation.robustness import SAMPLE, Fall, falls
from models.inference.classifier import Document
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import Abstention
from models.templates import grow, read_templates

FOLDERS = (("sentiment", "sentiment"), ("topic", "topic"), ("ner", "entities"))
RISK_SETS = ("finese",)
MOST_CLASSES = 40  # of a set whose classes are each shown
SPEED_DOCUMENTS = 1024
PASSES = 3
ValueT = TypeVar("ValueT")


class HeldOut(NamedTuple):
    """One file to measure on, and its training part where there is one."""

    task: str
    name: str
    data: Path
    train: Path | None


class Ours(msgspec.Struct, frozen=True):
    """The model's own figures on a file; reliability for sentiment only."""

    evaluation: Evaluation
    reliability: Reliability | None = None


class Scored(msgspec.Struct, frozen=True):
    """All figures of one file. missing: why the model has none, or ""."""

    task: str
    name: str
    missing: str = ""
    ours: Evaluation | None = None
    reliability: Reliability | None = None
    baselines: dict[str, Evaluation] = {}
    trained: Evaluation | None = None
    falls: tuple[Fall, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """What the model is: from its manifest, its network and its folder."""

    version: str
    created: str
    parent: str
    layers: int
    hidden: int
    vocabulary: int
    parameters: int
    size_bytes: int
    max_tokens: int
    heads: dict[str, int]
    data: dict[str, int]
    abstain: dict[str, Abstention]
    settings: dict[str, float | int | str]


class Speed(msgspec.Struct, frozen=True):
    """Headlines classified, in how many seconds, by how many threads; whether the CPU multiplies bf16 in hardware."""

    documents: int
    seconds: float
    threads: int
    bf16: bool


class Results(msgspec.Struct, frozen=True):
    """Everything that the model card says in figures."""

    facts: Facts
    speed: Speed
    files: tuple[Scored, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is measured. sample: rows of a file under noise, 0 for none; trained: sets that a copy is fine-tuned on besides."""

    baselines: tuple[str, ...] = ("tfidf",)
    trained: tuple[str, ...] = ()
    sample: int = SAMPLE
    resamples: int = RESAMPLES
    only: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)


def files_in(folder: Path, only: Sequence[str] = ()) -> list[HeldOut]:
    """The test files of a folder of labelled sets, by task and name. Raises SettingsError when there is none."""
    found = []
    for below, task in FOLDERS:
        for data in sorted((folder / below).glob("*.test.jsonl*")):
            name = data.name.partition(".test.")[0]
            train = next(iter(sorted(data.parent.glob(f"{name}.train.jsonl*"))), None)
            tasks = (task, "risk") if name in RISK_SETS else (task,)
            found += [HeldOut(each, name, data, train) for each in tasks if not only or name in only]
    if not found:
        below = " or ".join(f"{name}/" for name, _ in FOLDERS)
        message = f"{folder}: no SET.test.jsonl(.gz) below {below}; give the folder of labelled sets with --data"
        raise SettingsError(message)
    return sorted(found, key=lambda each: (TASKS.index(each.task), each.name))


class Cache:
    """Values kept as JSON files in `folder`, each under a stamp of what it was made of."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, stamp: str, kind: type[ValueT], compute: Callable[[], ValueT]) -> ValueT:
        """The value under `key`: as it was kept under the same stamp, else computed and kept. Raises what `compute` does."""
        path = self._folder / f"{key}.json"
        if path.is_file():
            try:
                kept = msgspec.json.decode(path.read_bytes())
                if kept["stamp"] == stamp:
                    return msgspec.convert(kept["value"], kind)
            except (msgspec.MsgspecError, KeyError, TypeError):
                pass  # half a file, or one of an older program: it is made again
        value = compute()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(path, msgspec.json.encode({"stamp": stamp, "value": value}))
        return value


def gather(classifier: TransformerClassifier, weights: Path, folder: Path, cache: Path, wanted: Wanted) -> Results:
    """All figures over the test files of `folder`; weights: the version's folder, for its size. Raises SettingsError, ModelError."""
    files = files_in(folder, wanted.only)
    digest = _digest(weights / "manifest.json") if (weights / "manifest.json").is_file() else ""
    kept = Cache(cache / f"{classifier.version}-{digest[:12]}")
    plain = Cache(cache / "baselines")
    with tqdm(files, unit="file") as bar:
        scored = [_scored(classifier, file, kept, plain, wanted, bar.set_postfix_str) for file in bar]
    speed = kept.get("speed", f"{SPEED_DOCUMENTS}", Speed, lambda: speed_of(classifier))
    return Results(facts_of(classifier, weights), speed, tuple(scored))


def _scored(
    classifier: TransformerClassifier, file: HeldOut, kept: Cache, plain: Cache, wanted: Wanted, tell: Callable[[str], object]
) -> Scored:
    key = f"{file.task}.{file.name}"
    stamp = _stamp(file, wanted.resamples)
    tell(f"{key}: ours")
    ours, missing = None, ""
    try:
        ours = kept.get(f"{key}.ours", stamp, Ours, lambda: _ours(classifier, file, wanted.resamples))
    except (ModelError, SettingsError) as error:
        missing = str(error)
    baselines, train = {}, file.train
    trained: Evaluation | None = None
    noise: tuple[Fall, ...] = ()
    if train is not None and file.task in ("sentiment", "topic", "risk"):
        for name in wanted.baselines:
            tell(f"{key}: {name}")
            compute = partial(_baseline, name, file, train, wanted.resamples)
            baselines[name] = plain.get(f"{key}.{name}", stamp, Evaluation, compute)
    if train is not None and file.name in wanted.trained:
        tell(f"{key}: fine-tuning")
        trained = kept.get(
            f"{key}.trained",
            f"{stamp} {wanted.options}",
            Evaluation,
            lambda: _brief(evaluate_trained(classifier, train, file.data, file.task, options=wanted.options, resamples=wanted.resamples)),
        )
    if ours is not None and wanted.sample and file.task != "entities":
        tell(f"{key}: noise")
        rows = read_rows_of(file.data, file.task).rows
        hit = partial(falls, classifier, rows, file.task, count=wanted.sample)
        noise = kept.get(f"{key}.noise", f"{stamp} {wanted.sample}", tuple[Fall, ...], lambda: tuple(hit()))
    return Scored(
        file.task,
        file.name,
        missing,
        ours.evaluation if ours is not None else None,
        ours.reliability if ours is not None else None,
        baselines,
        trained,
        noise,
    )


def _baseline(name: str, file: HeldOut, train: Path, resamples: int) -> Evaluation:
    return _brief(evaluate_baseline(name, train, file.data, file.task, resamples=resamples))


def _ours(classifier: TransformerClassifier, file: HeldOut, resamples: int) -> Ours:
    rows = read_rows_of(file.data, file.task)
    started = monotonic()
    judged = judge(classifier, rows.rows, file.task, where=str(file.data))
    seconds = monotonic() - started
    found = evaluation_of(judged, rows.bad, file.task, classifier.version, file.data, seconds, resamples=resamples)
    curve = None
    if judged.sentiments is not None:
        manifest = classifier.manifest
        labels, languages = [row.labels[0].lower() for row in rows.rows], [row.language for row in rows.rows]
        curve = reliability(labels, judged.sentiments, judged.heads, languages, manifest.temperatures, manifest.abstain)
    return Ours(_brief(found), curve)


def _brief(found: Evaluation) -> Evaluation:
    """Without the single classes of a set that has very many, and without lines of the file."""
    if len(found.per_class) <= MOST_CLASSES:
        return msgspec.structs.replace(found, bad=())
    parts = {name: msgspec.structs.replace(part, per_class={}) for name, part in found.by_language.items()}
    return msgspec.structs.replace(found, bad=(), per_class={}, by_language=parts)


def _stamp(file: HeldOut, resamples: int) -> str:
    train = _digest(file.train) if file.train is not None else ""
    return f"{_digest(file.data)} {train} {resamples}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_of(classifier: TransformerClassifier, weights: Path) -> Facts:
    """What the model is."""
    shape, manifest = classifier.network.shape, classifier.manifest
    return Facts(
        version=manifest.version,
        created=manifest.created.date().isoformat(),
        parent=manifest.parent,
        layers=shape.layers,
        hidden=shape.hidden,
        vocabulary=shape.vocabulary,
        parameters=sum(p.numel() for p in classifier.network.parameters()),
        size_bytes=sum(path.stat().st_size for path in _plain_files(weights)),
        max_tokens=manifest.max_tokens,
        heads=dict(shape.outputs),
        data=dict(manifest.data),
        abstain=dict(manifest.abstain),
        settings=dict(manifest.settings),
    )


def _plain_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file()) if folder.is_dir() else iter(())


def speed_of(classifier: TransformerClassifier, documents: int = SPEED_DOCUMENTS) -> Speed:
    """How fast built-in headlines of both languages are classified: the best of PASSES, after a first that makes the kernels."""
    dice = random.Random(13)  # noqa: S311
    seeds = grow(read_templates(), 12, dice)
    batch = [Document(seed.text, "", seed.language) for seed in dice.sample(seeds, min(documents, len(seeds)))]
    classifier.classify(batch)
    passes = []
    for _ in range(PASSES):
        started = monotonic()
        classifier.classify(batch)
        passes.append(monotonic() - started)
    return Speed(len(batch), round(min(passes), 3), torch.get_num_threads(), classifier.precision == "bfloat16")
