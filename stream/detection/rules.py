"""Rules files: the [[rules]] tables of a TOML file, checked field by field and turned into a spike rule and limit rules. Pure.

All mistakes of a file are reported at once.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.durations import parse_duration
from core.errors import InvalidInput, SettingsError
from core.records import RENAMED_SEVERITIES
from core.series import ALERTING
from core.taxonomy import RISK_KEYS
from core.toml_files import parse_toml, read_rows, rows_of
from domain.alert_lifecycle.silences import MAX_PATTERN_CHARS, MAX_PATTERNS, SEVERITIES
from stream.delivery.formats.generic import TEST
from stream.detection.limit_rule import LimitRule
from stream.detection.spike_rule import SpikeRule

MAX_NAME_CHARS = 80
MAX_WINDOW_S = 7 * 86_400
SPIKE_KIND = "spike"
"""The kind of the rule that changes the spike detector's settings."""

Check = Callable[[Any], str]
"""Returns what is wrong with a value, as a clause; "" where it is valid."""


def seconds(value: Any) -> float:
    """A duration in seconds, from a number of minutes or a text such as "1h". Raises SettingsError."""
    return parse_duration(value).total_seconds() if isinstance(value, str) else value * 60.0


def find_mistakes(row: Any, detector: str, keys: Mapping[str, Collection[str]]) -> Iterator[str]:
    """The mistakes of one table, a clause each.

    Args:
        row: The table.
        detector: Name of the spike rule, which no other rule may have.
        keys: Known keys by kind of series.
    """
    if not isinstance(row, dict):
        yield "is not a table"
        return
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        yield f"kind: {kind!r}: {_suggestion(kind, KINDS)}" if "kind" in row else f"kind is missing: one of {', '.join(KINDS)}"
        checks = {field: check for fields in KINDS.values() for field, check in fields.items() if field in _COMMON}
    else:
        checks = KINDS[kind]
        for field in row:
            if field not in checks:
                yield f"there is no field {field!r} in a rule of kind {kind!r}: {_suggestion(field, checks)}"
        for field in _REQUIRED[kind]:
            if field not in row:
                yield f"{field} is missing"
    for field, value in row.items():
        if field != "kind" and field in checks and (wrong := checks[field](value)):
            yield f"{field}: {wrong}"
    if kind != SPIKE_KIND and row.get("name") == detector:
        yield f"name: {detector!r} is the spike detector's name"
    yield from _series_mistakes(row.get("series"), keys)


def _series_mistakes(patterns: Any, keys: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Patterns that no series can match."""
    for pattern in _strings(patterns):
        kind, _, key = pattern.partition(":")
        if pattern == "*" or "*" in kind:
            continue
        if kind not in ALERTING or not key:
            yield f'series: {pattern!r}: expected kind:key, such as "topic:*" or "company:AAPL"; {_suggestion(kind, ALERTING)}'
        elif "*" not in key and kind in keys and key.casefold() not in {each.casefold() for each in keys[kind]}:
            yield f"series: there is no {kind} {key!r}: {_suggestion(key, keys[kind])}"


def _suggestion(value: Any, known: Collection[str]) -> str:
    """The closest known value, or all of them."""
    near = difflib.get_close_matches(str(value), list(known), 1, 0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"expected one of {', '.join(known)}" if len(known) <= 40 else f"{len(known):,} others are known"


def _name(value: Any) -> str:
    if isinstance(value, str) and value == value.strip() and 1 <= len(value) <= MAX_NAME_CHARS and value.isprintable() and "*" not in value:
        return "" if value != TEST else f"{TEST!r} is reserved for `tocsin webhooks test`"
    return f"{value!r}: expected 1 to {MAX_NAME_CHARS} characters on one line, without *"


def _patterns(value: Any) -> str:
    found = _strings(value)
    if not isinstance(value, list) or len(found) != len(value) or not found or not all(each.strip() == each and each for each in found):
        return 'expected a list of patterns, such as ["topic:*", "company:AAPL"]; ["*"] matches all series'
    if len(found) > MAX_PATTERNS or any(len(each) > MAX_PATTERN_CHARS for each in found):
        return f"at most {MAX_PATTERNS} patterns of at most {MAX_PATTERN_CHARS} characters are allowed"
    return ""


def _one_of(known: Collection[str]) -> Check:
    return lambda value: "" if isinstance(value, str) and value in known else f"{value!r}: {_suggestion(value, known)}"


def _severity(value: Any) -> str:
    if isinstance(value, str) and value in RENAMED_SEVERITIES:
        return f"{value!r} is now called {RENAMED_SEVERITIES[value]!r}"
    return _one_of(SEVERITIES)(value)


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else f"{value!r}: expected true or false"


def _count(value: Any) -> str:
    good = isinstance(value, int) and _is_number(value) and 1 <= value <= 1_000_000
    return "" if good else f"{value!r}: expected a whole number of at least 1"


def _number(least: float, most: float, expected: str, *, least_too: bool = False, most_too: bool = False) -> Check:
    """A check that a number lies between two bounds. expected: in words; least_too, most_too: whether the bounds are allowed"""

    def check(value: Any) -> str:
        if _is_number(value) and (least < value or (least_too and value == least)) and (value < most or (most_too and value == most)):
            return ""
        percent = _is_number(value) and 1 < value <= 100 and most == 1
        return f"{value!r}: expected {expected}" + (f"; did you mean {value / 100:g}?" if percent else "")

    return check


def _duration(least_s: float, most_s: float, expected: str) -> Check:
    def check(value: Any) -> str:
        try:
            known = isinstance(value, str) or (isinstance(value, int) and _is_number(value))
            if known and least_s <= seconds(value) <= most_s:
                return ""
        except InvalidInput as error:
            return str(error)
        return f"{value!r}: expected {expected}, in whole minutes or as a text such as 1h"

    return check


def _events(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return f"expected a list of risk events: {', '.join(RISK_KEYS)}"
    return "; ".join(f"{each!r}: {_suggestion(each, RISK_KEYS)}" for each in value if each not in RISK_KEYS)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _strings(value: Any) -> list[str]:
    """The strings of a list; [] for any other value, which another check reports."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


_cooldown = _duration(0, 31 * 86_400, "a duration up to 31 days")
_COMMON: dict[str, Check] = {
    "name": _name,
    "kind": lambda _: "",
    "series": _patterns,
    "min_sources": _count,
    "cooldown": _cooldown,
    "min_materiality": _number(0, 1, "a probability from 0 to 1, such as 0.5", least_too=True, most_too=True),
    "paused": _flag,
}
_WINDOWED = _COMMON | {"window": _duration(60, MAX_WINDOW_S, "a duration from a minute to 7 days"), "severity": _severity}

KINDS: dict[str, dict[str, Check]] = {
    "negative_share": _WINDOWED
    | {"over": _number(0, 1, "a share of at least 0 and less than 1, such as 0.6", least_too=True), "min_stories": _count},
    "mean_tone": _WINDOWED
    | {"below": _number(-1, 1, "a tone greater than -1 and at most 1, such as -0.3", most_too=True), "min_stories": _count},
    "volume": _WINDOWED | {"over": _count},
    "risk_event": _WINDOWED
    | {
        "over": _number(0, 1, "a probability greater than 0 and at most 1, such as 0.8", most_too=True),
        "events": _events,
        "min_stories": _count,
    },
    SPIKE_KIND: _COMMON
    | {
        "false_per_week": _number(0, 1000, "a number greater than 0 and at most 1000", most_too=True),
        "min_stories": _count,
        "min_ratio": _number(1, 1e6, "a number of at least 1", least_too=True),
        "warmup": _duration(0, 366 * 86_400, "a duration up to 366 days"),
    },
}
"""By kind of rule, its fields with their checks."""
_REQUIRED: dict[str, tuple[str, ...]] = {
    kind: ("name",) if kind == SPIKE_KIND else ("name", "series", "below" if "below" in fields else "over")
    for kind, fields in KINDS.items()
}


class AlertRules(NamedTuple):
    """The rules in force.

    Attributes:
        detector: The spike rule.
        limit_rules: The limit rules in the order of the file, paused ones included.
        detector_overridden: Whether a rule of the file changes the spike rule of the settings.
    """

    detector: SpikeRule
    limit_rules: tuple[LimitRule, ...] = ()
    detector_overridden: bool = False

    @property
    def window_s(self) -> int:
        """Width of the widest window of a limit rule in seconds; 0 without any."""
        return max((rule.window_s for rule in self.limit_rules), default=0)


def parse_rules(text: str, where: str, detector: SpikeRule, keys: Mapping[str, Collection[str]] | None = None) -> AlertRules:
    """The rules of a TOML text, which may be empty. where: name of the text in messages. Raises as `load_rules`."""
    table = parse_toml(text, where)
    return _rules(rows_of(table, where, "rules"), where, detector, keys or {}) if table else AlertRules(detector)


def load_rules(path: Path, detector: SpikeRule, keys: Mapping[str, Collection[str]] | None = None) -> AlertRules:
    """The rules of a TOML file.

    Args:
        path: The file.
        detector: The spike rule of the settings, which a rule of kind "spike" may change.
        keys: Known keys by kind of series; kinds that are left out accept any key.

    Raises:
        SettingsError: The file has mistakes; one line for each, with file, rule and field.
    """
    return _rules(read_rows(path, "rules", "rules"), f"rules {path}", detector, keys or {})


def _rules(rows: Sequence[Any], source: str, detector: SpikeRule, keys: Mapping[str, Collection[str]]) -> AlertRules:
    mistakes: list[str] = []
    names: dict[str, int] = {}
    detectors: list[SpikeRule] = []
    limit_rules: list[LimitRule] = []
    for number, row in enumerate(rows, 1):
        name = row.get("name") if isinstance(row, dict) and isinstance(row.get("name"), str) else ""
        wrong = list(find_mistakes(row, detector.name, keys))
        if name and names.setdefault(name, number) != number:
            wrong.append(f"name: number {names[name]} has the same name; names must be unique")
        if isinstance(row, dict) and row.get("kind") == SPIKE_KIND and detectors:
            wrong.append(f"kind: there is a rule of kind {SPIKE_KIND!r} above; only one is allowed")
        where = f"{source}: number {number}" + (f" ({name})" if name else "")
        mistakes += [f"{where}: {each}" for each in wrong]
        if wrong:
            continue
        if row["kind"] == SPIKE_KIND:
            detectors.append(_detector(row, detector))
        else:
            limit_rules.append(_limit_rule(row, detector))
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return AlertRules(detectors[0] if detectors else detector, tuple(limit_rules), bool(detectors))


def _limit_rule(row: dict[str, Any], detector: SpikeRule) -> LimitRule:
    return LimitRule(
        name=row["name"],
        kind=row["kind"],
        limit=float(row["below"] if row["kind"] == "mean_tone" else row["over"]),
        series=tuple(row["series"]),
        window_s=int(seconds(row["window"])) if "window" in row else 3600,
        severity=row.get("severity", "info"),
        cooldown_s=seconds(row["cooldown"]) if "cooldown" in row else detector.cooldown_s,
        min_stories=row.get("min_stories", 1 if row["kind"] == "risk_event" else 5),
        min_sources=row.get("min_sources", 1),
        min_materiality=float(row.get("min_materiality", detector.min_materiality)),
        events=tuple(row.get("events", ())),
        paused=row.get("paused", False),
    )


def _detector(row: dict[str, Any], detector: SpikeRule) -> SpikeRule:
    """The spike rule of the settings with the fields of the row."""
    same = ("name", "false_per_week", "min_stories", "min_sources", "min_ratio", "min_materiality", "paused")
    plain: dict[str, Any] = {field: row[field] for field in same if field in row}
    spans: dict[str, Any] = {f"{field}_s": seconds(row[field]) for field in ("cooldown", "warmup") if field in row}
    return dataclasses.replace(detector, **plain, **spans, series=tuple(row.get("series", ())))
