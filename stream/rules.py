"""The rules in force: the detector's numbers, and an analyst's own from [[rules]] tables of a TOML file. All mistakes are told at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spine.errors import SettingsError
from spine.toml_files import parse_toml, read_rows, rows_of
from stream.alerts import Rule
from stream.rule_fields import DETECTOR, mistakes_of, seconds
from stream.thresholds import Threshold


class Rules(NamedTuple):
    """What rings.

    detector: how spikes ring; renumbered: whether a rule of the file says so, not the settings alone
    own: the analyst's own rules, in the order of the file, paused ones too
    """

    detector: Rule
    own: tuple[Threshold, ...] = ()
    renumbered: bool = False

    @property
    def window_s(self) -> int:
        """The widest window of an analyst's own rule; 0 without any."""
        return max((rule.window_s for rule in self.own), default=0)


def parse_rules(text: str, where: str, detector: Rule, keys: Mapping[str, Collection[str]] | None = None) -> Rules:
    """The rules of a text; nothing at all means none. where: what it is called in messages. Raises as `load_rules`."""
    table = parse_toml(text, where)
    return _rules(rows_of(table, where, "rules"), where, detector, keys or {}) if table else Rules(detector)


def load_rules(path: Path, detector: Rule, keys: Mapping[str, Collection[str]] | None = None) -> Rules:
    """The rules of a TOML file, beside a detector, which a rule of kind "spike" gives other numbers.

    keys: kind of series to the keys that there are; what kinds it does not name may have any
    Raises SettingsError with a line for each mistake: file, rule and field.
    """
    return _rules(read_rows(path, "rules", "rules"), f"rules {path}", detector, keys or {})


def _rules(rows: Sequence[Any], source: str, detector: Rule, keys: Mapping[str, Collection[str]]) -> Rules:
    mistakes: list[str] = []
    names: dict[str, int] = {}
    detectors: list[Rule] = []
    own: list[Threshold] = []
    for number, row in enumerate(rows, 1):
        name = row.get("name") if isinstance(row, dict) and isinstance(row.get("name"), str) else ""
        wrong = list(mistakes_of(row, detector.name, keys))
        if name and names.setdefault(name, number) != number:
            wrong.append(f"name: number {names[name]} has the same; give each its own")
        if isinstance(row, dict) and row.get("kind") == DETECTOR and detectors:
            wrong.append(f"kind: there is a rule of kind {DETECTOR!r} above; there is one detector")
        where = f"{source}: number {number}" + (f" ({name})" if name else "")
        mistakes += [f"{where}: {each}" for each in wrong]
        if wrong:
            continue
        if row["kind"] == DETECTOR:
            detectors.append(_detector(row, detector))
        else:
            own.append(_threshold(row, detector))
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return Rules(detectors[0] if detectors else detector, tuple(own), bool(detectors))


def _threshold(row: dict[str, Any], detector: Rule) -> Threshold:
    return Threshold(
        name=row["name"],
        kind=row["kind"],
        limit=float(row["below"] if row["kind"] == "mean_tone" else row["over"]),
        series=tuple(row["series"]),
        window_s=int(seconds(row["window"])) if "window" in row else 3600,
        severity=row.get("severity", "watch"),
        cooldown_s=seconds(row["cooldown"]) if "cooldown" in row else detector.cooldown_s,
        min_stories=row.get("min_stories", 1 if row["kind"] == "risk_event" else 5),
        min_sources=row.get("min_sources", 1),
        events=tuple(row.get("events", ())),
        paused=row.get("paused", False),
    )


def _detector(row: dict[str, Any], detector: Rule) -> Rule:
    """What the row says, and what the settings say where it is silent."""
    same = ("name", "false_per_week", "min_stories", "min_sources", "min_ratio", "paused")
    plain: dict[str, Any] = {field: row[field] for field in same if field in row}
    spans: dict[str, Any] = {f"{field}_s": seconds(row[field]) for field in ("cooldown", "warmup") if field in row}
    return dataclasses.replace(detector, **plain, **spans, series=tuple(row.get("series", ())))
