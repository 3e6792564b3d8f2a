"""Versions of a model as an installation has them after some weeks: whole as far as files go, with figures and a history."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from core.taxonomy import TOPIC_KEYS
from models.registry.manifest import Manifest, write_version
from models.registry.versions import SHIPPED, Versions
from models.training.outcome import Measured, keep_measured
from models.training.promotion_gate import Comparison

FILES = {name: name.encode() for name in ("model.safetensors", "tokenizer.json", "config.json", "README.md")}
SENTIMENTS = ("negative", "neutral", "positive")
FIRST, SECOND, LOSER = "tocsin-r1", "invented", "tocsin-r3"
"""The champion is called as the scores of tests.browser.site are."""
KEPT = "clear cases: sentiment, language zh: accuracy lost 3.1 points, 1.0 are allowed"


def compared(test: str, group: str, before: float, now: float, reach: float = 0.01, metric: str = "accuracy") -> Comparison:
    change = now - before
    return Comparison(test, group, metric, 400, before, now, change, change - reach, change + reach, 0.01, change > -0.01)


def measured(version: str, against: str, at: datetime, gain: float) -> Measured:
    tests = ("new labels: sentiment", "clear cases: sentiment", "clear cases: topic")
    figures = [
        compared(test, group, 0.8 + 0.02 * place, 0.8 + 0.02 * place + gain * (1 - place))
        for place, test in enumerate(tests)
        for group in ("all", "language en", "language zh")
    ]
    figures.append(compared(tests[0], "class negative", 0.7, 0.7 + gain, metric="F1"))
    return Measured(version=version, against=against, at=at, reasons=("better",), comparisons=tuple(figures))


def make_versions(data_dir: Path, now: datetime) -> Versions:
    """Two promotions, the second one in force since nine days, and a loser; figures of each."""
    versions = Versions(data_dir)
    for days, version, parent in ((30, FIRST, "tocsin-base-3"), (9, SECOND, FIRST), (2, LOSER, SECOND)):
        at = now - timedelta(days=days)
        dev = {"fpb": {"sentiment_macro_f1": 0.9 - days / 1000}}
        manifest = Manifest(version, at, SENTIMENTS, TOPIC_KEYS, {}, {}, 8, {"feedback": 900 + days}, dev, {}, {}, parent=parent)
        write_version(versions.folder(version), FILES, manifest)
    for days, version, origin, gain in ((30, FIRST, SHIPPED, 0.04), (9, SECOND, FIRST, 0.03), (2, LOSER, SECOND, -0.03)):
        at = now - timedelta(days=days)
        keep_measured(versions.root, measured(version, origin, at, gain))
        if version == LOSER:
            versions.keep(version, now=at, why=KEPT, labels_until=at)
        else:
            versions.promote(version, now=at, why="better beyond chance", labels_until=at)
    return versions
