"""Reader of the published model card's figures, for the dashboard. Needs no torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

METRICS = ("accuracy", "macro_f1", "micro_f1", "ece")
CARD_PATHS = (Path(__file__).parents[2] / "docs" / "model-card.json", Path(__file__).parent / "model-card.json")
"""In a checkout, and in a wheel, where pyproject.toml puts it."""

Bins = tuple[tuple[float, float, float], ...]


class _Report(msgspec.Struct, frozen=True):
    n: int
    accuracy: float
    macro_f1: float
    micro_f1: float
    ece: float
    interval: dict[str, tuple[float, float]] = {}


class _Ours(_Report, frozen=True):
    by_language: dict[str, _Report] = {}


class _Curves(msgspec.Struct, frozen=True):
    before: dict[str, Bins]
    after: dict[str, Bins]


class _File(msgspec.Struct, frozen=True):
    task: str
    name: str
    ours: _Ours | None = None
    reliability: _Curves | None = None


class _Facts(msgspec.Struct, frozen=True):
    version: str


class _Card(msgspec.Struct, frozen=True):
    facts: _Facts
    files: tuple[_File, ...]


class TestSetFigures(NamedTuple):
    """Metrics of one test set in one language. metrics: of METRICS -> (value, low, high); low = high = value without an interval."""

    task: str
    test: str
    language: str
    rows: int
    metrics: Mapping[str, tuple[float, float, float]]


class PublishedCard(NamedTuple):
    """The card of a version. before, after: language -> sums of the reliability bins before and after calibration."""

    version: str
    figures: tuple[TestSetFigures, ...]
    before: Mapping[str, Bins]
    after: Mapping[str, Bins]


def read_card(path: Path | None = None) -> PublishedCard | None:
    """Read the card at `path`, or the one that comes with Tocsin. None if it is missing or has another format."""
    place = path or next((each for each in CARD_PATHS if each.is_file()), CARD_PATHS[0])
    try:
        card = msgspec.json.decode(place.read_bytes(), type=_Card)
    except (OSError, msgspec.MsgspecError):
        return None
    curves = [file.reliability for file in card.files if file.reliability is not None]
    return PublishedCard(
        card.facts.version,
        tuple(figures for file in card.files for figures in _figures(file)),
        _sums([each.before for each in curves]),
        _sums([each.after for each in curves]),
    )


def _figures(file: _File) -> list[TestSetFigures]:
    if file.ours is None:
        return []
    reports: Mapping[str, _Report] = file.ours.by_language or {"": file.ours}
    found = []
    for language, report in sorted(reports.items()):
        interval = report.interval or (file.ours.interval if len(reports) == 1 else {})
        values = {name: getattr(report, name) for name in METRICS}
        metrics = {name: (value, *interval.get(name, (value, value))) for name, value in values.items()}
        found.append(TestSetFigures(file.task, file.name, language, report.n, metrics))
    return found


def _sums(parts: list[dict[str, Bins]]) -> dict[str, Bins]:
    found: defaultdict[str, list[Bins]] = defaultdict(list)
    for part in parts:
        for language, bins in part.items():
            found[language].append(bins)
    return {
        language: tuple(
            (sum(row[0] for row in rows), sum(row[1] for row in rows), sum(row[2] for row in rows)) for rows in zip(*many, strict=True)
        )
        for language, many in sorted(found.items())
    }
