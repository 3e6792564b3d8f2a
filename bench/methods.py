"""Benchmark of fine-tuning methods: each is trained on the same new data, starting from the same version.

The new data are the gold-commodity headlines (labelled by the direction of a price). The starting version must not have been trained on
them, as tocsin-base-1 was not; later versions were. Reported are the score on their test file, and the loss on the other test files.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm  # type: ignore[import-untyped]

from core.errors import SettingsError
from models.heads import LabelSet
from models.inference.encoding import pad
from models.inference.network import Network, Outputs
from models.inference.transformer import TransformerClassifier
from models.registry.manifest import WEIGHTS, shipped
from models.training.calibrate import DevRows, predict_dev, score_set
from models.training.data import DatasetMix, examples
from models.training.examples import Row, read_rows
from models.training.fit import encode
from models.training.methods import MATRICES, METHODS, Adapter
from models.training.train import MAX_TOKENS, Run, TrainingOptions, train

SLICE = "gold_commodity"
OLD = ("fpb", "twitter_fin", "sentfin", "cfsc", "wwwxmu", "finfe", "twitter_topic", "finnl", "finese", "thucnews", "finer_ord", "cluener")
SMALL = (0, 2, 4, 6, 8, 11)


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one method.

    new: macro F1 on the new test file; old: mean over the old test files; lost: decrease of `old` in points
    trained: trainable parameters; megabytes: of the packed weights; seconds: of training
    """

    name: str
    new: float
    old: float
    lost: float
    trained: int
    megabytes: float
    seconds: float
    per_set: dict[str, float]


class Methods(msgspec.Struct, frozen=True, kw_only=True):
    """Results of all methods. rows: training rows of the new data; old_rows: maximum rows per old test file."""

    start: str
    rows: int
    old_rows: int
    methods: list[Method]


def measure(data: Path, *, rows: int = 1500, old_rows: int = 400, start: Path | None = None, only: Sequence[str] = ()) -> Methods:
    """Train and evaluate every method, or those in `only`.

    Args:
        data: folder of labelled sets.
        rows: training rows of the new data.
        old_rows: maximum rows per old test file.
        start: version to start from; None for the shipped one.
        only: names of methods.

    Raises:
        SettingsError: the new data are not in `data`.
    """
    path = data / "sentiment" / f"{SLICE}.train.jsonl.gz"
    if not path.is_file():
        raise SettingsError(f"{path} is missing; this benchmark trains on it")
    start = start or shipped()
    before = TransformerClassifier.load(start, dtype=torch.float32)
    found = list(read_rows(path))
    extra = tuple(found[:: max(1, len(found) // rows)][:rows])
    mix = DatasetMix.read(data, extra)
    mix = replace(
        mix,
        sets={name: rows for name, rows in mix.sets.items() if name != SLICE},
        dev={name: rows[:: max(1, len(rows) // 100)] for name, rows in mix.dev.items() if name in ("fpb", "cfsc")},
    )
    bench = _Bench(data, start, mix, before, old_rows)
    base = bench.figures(before.network)
    table = [
        Method(name="before", new=base[SLICE], old=_mean(base), lost=0.0, trained=0, megabytes=_size(start), seconds=0.0, per_set=base)
    ]
    wanted = [name for name in bench.recipes() if not only or name in only]
    for name in tqdm(wanted, desc="methods"):
        table.append(bench.row(name, base))
        tqdm.write(f"{name}: new {table[-1].new:.3f} lost {table[-1].lost:+.2f} in {table[-1].seconds:.0f} s")
    return Methods(start=before.version, rows=len(extra), old_rows=old_rows, methods=table)


class _Bench:
    """Data and options shared by all methods."""

    def __init__(self, data: Path, start: Path, mix: DatasetMix, before: TransformerClassifier, old_rows: int) -> None:
        self._data = data
        self._start = start
        self._mix = mix
        self._labels = before.manifest.labels
        self._folder = tempfile.TemporaryDirectory(prefix="tocsin-methods-")
        self._tests = {}
        for source in (SLICE, *OLD):
            for folder in ("sentiment", "topic", "ner"):
                path = data / folder / f"{source}.test.jsonl.gz"
                if path.is_file():
                    every: list[Row] = list(read_rows(path))
                    some = examples(every[:: max(1, len(every) // old_rows)])
                    self._tests[source] = DevRows(some, *encode(before.tokenizer, some, MAX_TOKENS))
        self._before = before
        self._options = TrainingOptions(epochs=1, head_lr_scale=2.0, per_template=0, checks=1, rehearse=0.5, unlabelled=0)

    def recipes(self) -> dict[str, Callable[[Path], Network]]:
        """Method -> function that makes its network, given a folder for a version."""
        rates = {"full": 5e-5, "lora": 3e-4, "adalora": 1e-3, "ia3": 3e-3, "heads": 2e-3}
        small = replace(self._options, layers=SMALL, lr=1.4e-4, rehearse=0.8)

        def trained(options: TrainingOptions, *teachers: Path) -> Callable[[Path], Network]:
            return lambda out: self._train(out, options, teachers)

        return {
            **{name: trained(replace(self._options, method=name, lr=rates[name])) for name in METHODS},
            "full without rehearsal": trained(replace(self._options, rehearse=0.0)),
            "pruned 30 %": trained(replace(self._options, prune=0.3)),
            "6 layers": trained(small),
            "6 layers, distilled": trained(small, self._start),
            "int8 dynamic": lambda _out: dynamic_int8(self._before.network),
            "int8 static": lambda _out: static_int8(self._before.network, self._samples()),
        }

    def row(self, name: str, base: dict[str, float]) -> Method:
        out = Path(self._folder.name) / name.replace(" ", "-")
        began = monotonic()
        network = self.recipes()[name](out)
        seconds = monotonic() - began
        found = self.figures(network)
        return Method(
            name=name,
            new=found[SLICE],
            old=_mean(found),
            lost=round(100 * (_mean(base) - _mean(found)), 2),
            trained=self._trained(name),
            megabytes=_size(out if out.exists() else self._start),
            seconds=round(seconds, 1),
            per_set=found,
        )

    def figures(self, network: Network) -> dict[str, float]:
        """Test file -> mean of its metrics."""
        labels: dict[str, LabelSet] = self._labels
        return {
            source: round(float(np.mean(list(score_set(source, rows, predict_dev(network, rows), labels).values()))), 4)
            for source, rows in self._tests.items()
        }

    def _train(self, out: Path, options: TrainingOptions, teachers: tuple[Path, ...] = ()) -> Network:
        mix = self._mix if options.rehearse else replace(self._mix, sets={})
        train(None, out, now=datetime.now(UTC), options=options, start=self._start, run=Run(mix=mix, teachers=teachers))
        return TransformerClassifier.load(out, dtype=torch.float32).network

    def _trained(self, name: str) -> int:
        if name.startswith("int8"):
            return 0
        network = TransformerClassifier.load(self._start, dtype=torch.float32).network
        return Adapter(network, next((method for method in METHODS if method == name), "full"), steps=100).trained

    def _samples(self) -> list[torch.Tensor]:
        rows = self._tests["fpb"].ids[:64] + self._tests["cfsc"].ids[:64]
        return [pad(rows[at : at + 16]) for at in range(0, len(rows), 16)]


def _mean(figures: dict[str, float]) -> float:
    return round(float(np.mean([value for source, value in figures.items() if source != SLICE])), 4)


def _size(folder: Path) -> float:
    return round((folder / WEIGHTS).stat().st_size / 1e6, 1)


class _Exact(Network):
    """A network whose activations between int8 matrices stay in fp32, without the caller's autocast."""

    def read(self, vectors: Tensor, present: Tensor) -> Outputs:
        """As in Network."""
        with torch.autocast(vectors.device.type, enabled=False):
            return super().read(vectors, present)


def _exact_copy(network: Network) -> Network:
    copied = copy.deepcopy(network).float().eval()
    copied.__class__ = _Exact
    return copied


def dynamic_int8(network: Network) -> Network:
    """A copy with int8 matrices by torch's dynamic quantisation: activations are scaled at every matrix.

    For comparison only: it is not used by workers (models/LOG.md has the figures), and torch has deprecated the interface.
    """
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = _exact_copy(network)
        copied.layers = quantize_dynamic(copied.layers, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
    return copied


def static_int8(network: Network, samples: Sequence[Tensor]) -> Network:
    """A copy with int8 matrices by torch's static quantisation, with scales observed on `samples`, padded token ids (B, L)."""
    from torch.ao.quantization import QuantWrapper, convert, get_default_qconfig, prepare

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = _exact_copy(network)
        qconfig = get_default_qconfig("x86")  # type: ignore[no-untyped-call]
        for layer in copied.layers:  # only the matrices; norms stay in fp32
            for name in MATRICES:
                wrapped = QuantWrapper(getattr(layer, name))
                wrapped.qconfig = qconfig
                setattr(layer, name, wrapped)
        prepare(copied.layers, inplace=True)  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            for ids in samples:
                copied(ids)
        convert(copied.layers, inplace=True)  # type: ignore[no-untyped-call]
    return copied
