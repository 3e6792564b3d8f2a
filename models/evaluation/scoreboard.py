"""Collects all figures of the model card, which takes hours, with a cache on disk.

    FOLDER/{sentiment,topic,ner}/SET.test.jsonl.gz ─▶ our model · baselines on SET.train · fine-tuned copy · noise ─▶ Results

Every figure is cached in its own file, under the model's version and a hash of its inputs, so an interrupted run resumes, and a
changed file is evaluated again.
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
from core.files import write_atomically
from models.evaluation.baselines import evaluate_baseline
from models.evaluation.benchmark import FineTuneOptions, evaluate_fine_tuned
from models.evaluation.evaluate import TASKS, Evaluation, evaluation_of, read_rows_of, score_rows
from models.evaluation.metrics import RESAMPLES
from models.evaluation.reliability import Reliability, reliability
from models.evaluation.robustness import SAMPLE, NoiseResult, measure_noise
from models.inference.classifier import Document
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import Abstention
from models.templates import fill_templates, read_templates

WIRE = "wire"
"""Folder of the items annotated under our labelling guide: test files of every task but entities."""
FOLDERS = (
    (WIRE, ("sentiment", "topic", "company", "risk", "materiality")),
    ("sentiment", ("sentiment",)),
    ("topic", ("topic",)),
    ("ner", ("entities",)),
)
RISK_SETS = ("finese",)
MAX_CLASSES = 40  # sets with more classes are shown without scores per class
SPEED_DOCUMENTS = 1024
PASSES = 3
ValueT = TypeVar("ValueT")


class HeldOutFile(NamedTuple):
    """A test file, and the training file of the same set if there is one."""

    task: str
    name: str
    data: Path
    train: Path | None


class OwnFigures(msgspec.Struct, frozen=True):
    """The model's results on a file; reliability for sentiment only."""

    evaluation: Evaluation
    reliability: Reliability | None = None


class FileScores(msgspec.Struct, frozen=True):
    """All results of one file.

    missing: why the model has no result, or ""
    ours: result of the model; baselines: by name; trained: of a fine-tuned copy; noise: robustness on a sample
    """

    task: str
    name: str
    missing: str = ""
    ours: Evaluation | None = None
    reliability: Reliability | None = None
    baselines: dict[str, Evaluation] = {}
    trained: Evaluation | None = None
    noise: tuple[NoiseResult, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """Facts about the model from its manifest, its network and its folder."""

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
    """Speed of classification. documents: headlines classified in `seconds`; bf16: whether the encoder ran in bf16."""

    documents: int
    seconds: float
    threads: int
    bf16: bool


class Results(msgspec.Struct, frozen=True):
    """All figures of the model card."""

    facts: Facts
    speed: Speed
    files: tuple[FileScores, ...]


@dataclass(frozen=True, slots=True)
class ScoreboardPlan:
    """What to evaluate.

    baselines: names of baselines; trained: sets on which a copy is fine-tuned
    sample: rows per file for robustness, 0 for none; resamples: of the bootstrap
    only: names of sets; empty for all; options: of fine-tuning
    """

    baselines: tuple[str, ...] = ("tfidf",)
    trained: tuple[str, ...] = ()
    sample: int = SAMPLE
    resamples: int = RESAMPLES
    only: tuple[str, ...] = ()
    options: FineTuneOptions = field(default_factory=FineTuneOptions)


def files_in(folder: Path, only: Sequence[str] = ()) -> list[HeldOutFile]:
    """The test files of a folder of labelled sets, by task and name. Raises SettingsError if there is none."""
    found = []
    for below, folder_tasks in FOLDERS:
        for data in sorted((folder / below).glob("*.test.jsonl*")):
            name = data.name.partition(".test.")[0]
            train = None if below == WIRE else next(iter(sorted(data.parent.glob(f"{name}.train.jsonl*"))), None)
            tasks = (*folder_tasks, "risk") if name in RISK_SETS else folder_tasks
            found += [HeldOutFile(each, name, data, train) for each in tasks if not only or name in only]
    if not found:
        below = " or ".join(f"{name}/" for name, _ in FOLDERS)
        message = f"{folder}: no SET.test.jsonl(.gz) in {below}; give the folder of labelled sets with --data"
        raise SettingsError(message)
    return sorted(found, key=lambda each: (TASKS.index(each.task), each.name))


class ResultCache:
    """A cache of JSON files in `folder`, each with a stamp that identifies its inputs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, stamp: str, kind: type[ValueT], compute: Callable[[], ValueT]) -> ValueT:
        """The value of `key` if it was stored with the same stamp, else the result of `compute`, which is stored."""
        path = self._folder / f"{key}.json"
        if path.is_file():
            try:
                model_cache = msgspec.json.decode(path.read_bytes())
                if model_cache["stamp"] == stamp:
                    return msgspec.convert(model_cache["value"], kind)
            except (msgspec.MsgspecError, KeyError, TypeError):
                pass  # an incomplete file, or one of an older program, is replaced
        value = compute()
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, msgspec.json.encode({"stamp": stamp, "value": value}))
        return value


def collect_results(classifier: TransformerClassifier, weights: Path, folder: Path, cache: Path, plan: ScoreboardPlan) -> Results:
    """Evaluate a model on all test files of a folder.

    Args:
        classifier: the model.
        weights: its version folder, for the size on disk.
        folder: folder of labelled sets.
        cache: folder of cached results.
        plan: what to evaluate.

    Raises:
        SettingsError: the folder has no test files.
        ModelError: the model fails.
    """
    files = files_in(folder, plan.only)
    digest = _digest(weights / "manifest.json") if (weights / "manifest.json").is_file() else ""
    model_cache = ResultCache(cache / f"{classifier.version}-{digest[:12]}")
    baseline_cache = ResultCache(cache / "baselines")
    with tqdm(files, unit="file") as bar:
        scored = [_scored(classifier, file, model_cache, baseline_cache, plan, bar.set_postfix_str) for file in bar]
    speed = model_cache.get("speed", f"{SPEED_DOCUMENTS}", Speed, lambda: speed_of(classifier))
    return Results(facts_of(classifier, weights), speed, tuple(scored))


def _scored(
    classifier: TransformerClassifier,
    file: HeldOutFile,
    model_cache: ResultCache,
    baseline_cache: ResultCache,
    plan: ScoreboardPlan,
    report_step: Callable[[str], object],
) -> FileScores:
    key = f"{file.task}.{file.name}"
    stamp = _stamp(file, plan.resamples)
    report_step(f"{key}: ours")
    ours, missing = None, ""
    try:
        ours = model_cache.get(f"{key}.ours", stamp, OwnFigures, lambda: _own_figures(classifier, file, plan.resamples))
    except (ModelError, SettingsError) as error:
        missing = str(error)
    baselines, train = {}, file.train
    trained: Evaluation | None = None
    noise: tuple[NoiseResult, ...] = ()
    if train is not None and file.task in ("sentiment", "topic", "risk"):
        for name in plan.baselines:
            report_step(f"{key}: {name}")
            compute = partial(_baseline, name, file, train, plan.resamples)
            baselines[name] = baseline_cache.get(f"{key}.{name}", stamp, Evaluation, compute)
    if train is not None and file.name in plan.trained:
        report_step(f"{key}: fine-tuning")
        trained = model_cache.get(
            f"{key}.trained",
            f"{stamp} {plan.options}",
            Evaluation,
            lambda: _without_details(
                evaluate_fine_tuned(classifier, train, file.data, file.task, options=plan.options, resamples=plan.resamples)
            ),
        )
    if ours is not None and plan.sample and file.task != "entities":
        report_step(f"{key}: noise")
        rows = read_rows_of(file.data, file.task).rows
        measure_sample = partial(measure_noise, classifier, rows, file.task, count=plan.sample)
        noise = model_cache.get(f"{key}.noise", f"{stamp} {plan.sample}", tuple[NoiseResult, ...], lambda: tuple(measure_sample()))
    return FileScores(
        file.task,
        file.name,
        missing,
        ours.evaluation if ours is not None else None,
        ours.reliability if ours is not None else None,
        baselines,
        trained,
        noise,
    )


def _baseline(name: str, file: HeldOutFile, train: Path, resamples: int) -> Evaluation:
    return _without_details(evaluate_baseline(name, train, file.data, file.task, resamples=resamples))


def _own_figures(classifier: TransformerClassifier, file: HeldOutFile, resamples: int) -> OwnFigures:
    rows = read_rows_of(file.data, file.task)
    started = monotonic()
    scored = score_rows(classifier, rows.rows, file.task, where=str(file.data))
    seconds = monotonic() - started
    found = evaluation_of(scored, rows.bad, file.task, classifier.version, file.data, seconds, resamples=resamples)
    curve = None
    if scored.sentiments is not None:
        manifest = classifier.manifest
        labels, languages = [row.labels[0].lower() for row in rows.rows], [row.language for row in rows.rows]
        curve = reliability(labels, scored.sentiments, scored.heads, languages, manifest.temperatures, manifest.abstain)
    return OwnFigures(_without_details(found), curve)


def _without_details(found: Evaluation) -> Evaluation:
    """The evaluation without messages about rows, and without scores per class if there are very many."""
    if len(found.per_class) <= MAX_CLASSES:
        return msgspec.structs.replace(found, bad=())
    parts = {name: msgspec.structs.replace(part, per_class={}) for name, part in found.by_language.items()}
    return msgspec.structs.replace(found, bad=(), per_class={}, by_language=parts)


def _stamp(file: HeldOutFile, resamples: int) -> str:
    train = _digest(file.train) if file.train is not None else ""
    return f"{_digest(file.data)} {train} {resamples}"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_of(classifier: TransformerClassifier, weights: Path) -> Facts:
    """The facts about a model; weights: its version folder."""
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
    """Speed on built-in headlines of both languages: the best of PASSES, after a first pass that compiles the kernels."""
    rng = random.Random(13)  # noqa: S311
    texts = fill_templates(read_templates(), 12, rng)
    batch = [Document(filled.text, "", filled.language) for filled in rng.sample(texts, min(documents, len(texts)))]
    classifier.classify(batch)
    passes = []
    for _ in range(PASSES):
        started = monotonic()
        classifier.classify(batch)
        passes.append(monotonic() - started)
    return Speed(len(batch), round(min(passes), 3), torch.get_num_threads(), classifier.precision == "bfloat16")
