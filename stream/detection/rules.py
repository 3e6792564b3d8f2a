"""The fields of a rule in a file, by its kind: what is wrong with a table. Pure.

The rules in force: the detector's numbers, and an analyst's own from [[rules]] tables of a TOML file. All mistakes are told at once.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from core.durations import span
from core.errors import SettingsError
from core.series import ALERTING
from core.taxonomy import RISK_KEYS
from core.toml_files import parse_toml, read_rows, rows_of
from domain.alert_lifecycle.silences import MAX_PATTERN_CHARS, MAX_PATTERNS, SEVERITIES
from stream.delivery.formats.generic import TEST
from stream.detection.limit_rule import Threshold
from stream.detection.spike_rule import Rule

MAX_NAME_CHARS = 80
MAX_WINDOW_S = 7 * 86_400
DETECTOR = "spike"
"""The kind of the rule that gives the detector other numbers."""

Check = Callable[[Any], str]
"""What is wrong with a value, in a clause; "" for nothing."""


def seconds(value: Any) -> float:
    """A length of time: minutes, or words such as "1h". Raises SettingsError."""
    return span(value).total_seconds() if isinstance(value, str) else value * 60.0


def mistakes_of(row: Any, detector: str, keys: Mapping[str, Collection[str]]) -> Iterator[str]:
    """What is wrong with one table, a clause each.

    detector: the detector's name, which no other rule may have; keys: kind of series to the keys that there are
    """
    if not isinstance(row, dict):
        yield "is not a table"
        return
    kind = row.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        yield f"kind: {kind!r}: {_meant(kind, KINDS)}" if "kind" in row else f"kind is missing: one of {', '.join(KINDS)}"
        checks = {field: check for fields in KINDS.values() for field, check in fields.items() if field in _ALIKE}
    else:
        checks = KINDS[kind]
        for field in row:
            if field not in checks:
                yield f"there is no field {field!r} in a rule of kind {kind!r}: {_meant(field, checks)}"
        for field in _NEEDED[kind]:
            if field not in row:
                yield f"{field} is missing"
    for field, value in row.items():
        if field != "kind" and field in checks and (wrong := checks[field](value)):
            yield f"{field}: {wrong}"
    if kind != DETECTOR and row.get("name") == detector:
        yield f"name: {detector!r} is the detector's own"
    yield from _series_mistakes(row.get("series"), keys)


def _series_mistakes(patterns: Any, keys: Mapping[str, Collection[str]]) -> Iterator[str]:
    """Patterns of series that nothing can match."""
    for pattern in _strings(patterns):
        kind, _, key = pattern.partition(":")
        if pattern == "*" or "*" in kind:
            continue
        if kind not in ALERTING or not key:
            yield f'series: {pattern!r}: wanted is kind:key, such as "topic:*" or "company:AAPL"; {_meant(kind, ALERTING)}'
        elif "*" not in key and kind in keys and key.casefold() not in {each.casefold() for each in keys[kind]}:
            yield f"series: there is no {kind} {key!r}: {_meant(key, keys[kind])}"


def _meant(value: Any, known: Collection[str]) -> str:
    """A word of help: the nearest of what there is, or all of it."""
    near = difflib.get_close_matches(str(value), list(known), 1, 0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(known)}" if len(known) <= 40 else f"there are {len(known):,} others"


def _name(value: Any) -> str:
    if isinstance(value, str) and value == value.strip() and 1 <= len(value) <= MAX_NAME_CHARS and value.isprintable() and "*" not in value:
        return "" if value != TEST else f"{TEST!r} is what `tocsin webhooks test` sends"
    return f"{value!r}: wanted are 1 to {MAX_NAME_CHARS} characters on one line, none of them *"


def _patterns(value: Any) -> str:
    found = _strings(value)
    if not isinstance(value, list) or len(found) != len(value) or not found or not all(each.strip() == each and each for each in found):
        return 'wanted is a list of patterns, such as ["topic:*", "company:AAPL"]; ["*"] is all of them'
    if len(found) > MAX_PATTERNS or any(len(each) > MAX_PATTERN_CHARS for each in found):
        return f"there may be {MAX_PATTERNS} patterns of {MAX_PATTERN_CHARS} characters"
    return ""


def _one_of(known: Collection[str]) -> Check:
    return lambda value: "" if isinstance(value, str) and value in known else f"{value!r}: {_meant(value, known)}"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else f"{value!r}: wanted is true or false"


def _count(value: Any) -> str:
    good = isinstance(value, int) and _is_number(value) and 1 <= value <= 1_000_000
    return "" if good else f"{value!r}: wanted is a whole number from 1 on"


def _number(least: float, most: float, wanted: str, *, least_too: bool = False, most_too: bool = False) -> Check:
    """A check of a number between these, perhaps including them. wanted: in words"""

    def check(value: Any) -> str:
        if _is_number(value) and (least < value or (least_too and value == least)) and (value < most or (most_too and value == most)):
            return ""
        percent = _is_number(value) and 1 < value <= 100 and most == 1
        return f"{value!r}: wanted is {wanted}" + (f"; did you mean {value / 100:g}?" if percent else "")

    return check


def _time(least_s: float, most_s: float, wanted: str) -> Check:
    def check(value: Any) -> str:
        try:
            known = isinstance(value, str) or (isinstance(value, int) and _is_number(value))
            if known and least_s <= seconds(value) <= most_s:
                return ""
        except SettingsError as error:
            return str(error)
        return f"{value!r}: wanted is {wanted}, in whole minutes or in words such as 1h"

    return check


def _events(value: Any) -> str:
    if not isinstance(value, list) or not value:
        return f"wanted is a list of risk events; there are {', '.join(RISK_KEYS)}"
    return "; ".join(f"{each!r}: {_meant(each, RISK_KEYS)}" for each in value if each not in RISK_KEYS)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _strings(value: Any) -> list[str]:
    """The strings of a list, none where there is something else: that is told apart."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


_cooldown = _time(0, 31 * 86_400, "a length of time up to 31 days")
_ALIKE: dict[str, Check] = {
    "name": _name,
    "kind": lambda _: "",
    "series": _patterns,
    "min_sources": _count,
    "cooldown": _cooldown,
    "paused": _flag,
}
_WINDOWED = _ALIKE | {"window": _time(60, MAX_WINDOW_S, "a length of time from a minute to 7 days"), "severity": _one_of(SEVERITIES)}

KINDS: dict[str, dict[str, Check]] = {
    "negative_share": _WINDOWED | {"over": _number(0, 1, "a share from 0 to under 1, such as 0.6", least_too=True), "min_stories": _count},
    "mean_tone": _WINDOWED | {"below": _number(-1, 1, "a tone over -1, up to 1, such as -0.3", most_too=True), "min_stories": _count},
    "volume": _WINDOWED | {"over": _count},
    "risk_event": _WINDOWED
    | {"over": _number(0, 1, "a probability over 0, up to 1, such as 0.8", most_too=True), "events": _events, "min_stories": _count},
    DETECTOR: _ALIKE
    | {
        "false_per_week": _number(0, 1000, "a number over 0, up to 1000", most_too=True),
        "min_stories": _count,
        "min_ratio": _number(1, 1e6, "a number from 1 on", least_too=True),
        "warmup": _time(0, 366 * 86_400, "a length of time up to 366 days"),
    },
}
"""Kind of rule to its fields, each with its check."""
_NEEDED: dict[str, tuple[str, ...]] = {
    kind: ("name",) if kind == DETECTOR else ("name", "series", "below" if "below" in fields else "over") for kind, fields in KINDS.items()
}


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
