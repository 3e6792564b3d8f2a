"""Model versions of an installation after some weeks: complete files, metrics and a history."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from core.taxonomy import TOPIC_KEYS
from models.registry.manifest import Manifest, write_version
from models.registry.versions import SHIPPED, Versions
from models.training.promotion_gate import Comparison
from models.training.refresh_status import GateMeasurement, save_measurement

FILES = {name: name.encode() for name in ("model.safetensors", "tokenizer.json", "config.json", "README.md")}
SENTIMENTS = ("negative", "neutral", "positive")


class Names(NamedTuple):
    """Two promoted versions, and one rejected."""

    first: str
    second: str
    loser: str

    def at(self, moment: datetime, now: datetime) -> str:
        """The version that was champion at `moment`."""
        age = now - moment
        return self.second if age < SECOND_AGE else self.first if age < FIRST_AGE else BASE


BASE = "tocsin-base-3"
FIRST_AGE, SECOND_AGE, LOSER_AGE = timedelta(days=30), timedelta(days=9), timedelta(days=2)
FIRST, SECOND, LOSER = IN_TESTS = Names("tocsin-r1", "invented", "tocsin-r3")
"""The champion has the name of the model that scored the articles of tests.browser.site."""
KEPT = "clear cases: sentiment, language zh: accuracy lost 3.1 points, 1.0 are allowed"


def compared(test: str, group: str, before: float, now: float, reach: float = 0.01, metric: str = "accuracy") -> Comparison:
    change = now - before
    return Comparison(test, group, metric, 400, before, now, change, change - reach, change + reach, 0.01, change > -0.01)


def measured(version: str, against: str, at: datetime, gain: float) -> GateMeasurement:
    tests = ("new labels: sentiment", "clear cases: sentiment", "clear cases: topic")
    figures = [
        compared(test, group, 0.8 + 0.02 * place, 0.8 + 0.02 * place + gain * (1 - place))
        for place, test in enumerate(tests)
        for group in ("all", "language en", "language zh")
    ]
    figures.append(compared(tests[0], "class negative", 0.7, 0.7 + gain, metric="F1"))
    return GateMeasurement(version=version, against=against, at=at, reasons=("better",), comparisons=tuple(figures))


def make_versions(data_dir: Path, now: datetime, names: Names = IN_TESTS) -> Versions:
    """Two promotions, the second one nine days ago, and a rejected version, with metrics of each."""
    versions = Versions(data_dir)
    ages = (FIRST_AGE, SECOND_AGE, LOSER_AGE)
    for age, version, parent in zip(ages, names, (BASE, *names[:2]), strict=True):
        dev = {"fpb": {"sentiment_macro_f1": 0.9 - age.days / 1000}}
        manifest = Manifest(version, now - age, SENTIMENTS, TOPIC_KEYS, {}, {}, 8, {"feedback": 900 + age.days}, dev, {}, {}, parent=parent)
        write_version(versions.folder(version), FILES, manifest)
    for age, version, origin, gain in zip(ages, names, (SHIPPED, *names[:2]), (0.04, 0.03, -0.03), strict=True):
        at = now - age
        save_measurement(versions.root, measured(version, origin, at, gain))
        if version == names.loser:
            versions.keep(version, now=at, why=KEPT, labels_until=at)
        else:
            versions.promote(version, now=at, why="significantly better", labels_until=at)
    return versions
