"""Rules files: their fields, defaults from the settings, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import SettingsError
from core.settings import Settings
from core.taxonomy import TOPIC_KEYS
from stream.detection.limit_rule import LimitRule
from stream.detection.rules import KINDS, AlertRules, load_rules
from stream.detection.spike_rule import SpikeRule

EXAMPLE = Path(__file__).resolve().parents[4] / "deploy" / "rules.example.toml"
KEYS = {"topic": TOPIC_KEYS, "company": ["AAPL", "600519.SH"], "watchlist": []}
SHARE = 'kind = "negative_share"\nname = "a"\nseries = ["*"]\nover = 0.6\n'


def loaded(folder: Path, text: str, detector: SpikeRule | None = None) -> AlertRules:
    path = folder / "规则.toml"
    path.write_text(text, encoding="utf-8")
    return load_rules(path, detector or SpikeRule(), KEYS)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, text)
    return str(caught.value).splitlines()


def test_fields_that_a_rule_leaves_out_come_from_the_settings(tmp_path: Path):
    detector = SpikeRule(cooldown_s=7_200.0)
    text = """
        [[rules]]
        name = "负面占比"
        kind = "negative_share"
        series = ["topic:*", "company:600519.sh"]
        over = 0.6
        window = "1h"
        severity = "warning"
        min_stories = 8
        min_sources = 2

        [[rules]]
        name = "gloom"
        kind = "mean_tone"
        series = ["market:all"]
        below = -0.25
        window = 30
        cooldown = "1d12h"
        paused = true

        [[rules]]
        name = "flood"
        kind = "volume"
        series = ["*"]
        over = 50

        [[rules]]
        name = "fraud"
        kind = "risk_event"
        series = ["company:*"]
        over = 0.8
        events = ["fraud", "accounting_fraud"]
    """
    rules = loaded(tmp_path, text, detector)
    assert (rules.detector, rules.detector_overridden, rules.window_s) == (detector, False, 3600)
    share, gloom, flood, fraud = rules.limit_rules
    assert share == LimitRule(
        name="负面占比", kind="negative_share", limit=0.6, series=("topic:*", "company:600519.sh"), severity="warning",
        cooldown_s=7_200.0, min_stories=8, min_sources=2,
    )  # fmt: skip
    assert share.follows("company:600519.SH") and share.follows("topic:energy") and not share.follows("company:AAPL")
    assert (gloom.limit, gloom.window_s, gloom.cooldown_s, gloom.paused, gloom.min_stories) == (-0.25, 1800, 36 * 3600, True, 5)
    assert (flood.limit, fraud.limit, fraud.min_stories, fraud.events) == (50.0, 0.8, 1, ("fraud", "accounting_fraud"))


def test_a_rule_of_kind_spike_changes_the_spike_rule(tmp_path: Path):
    text = """
        [[rules]]
        name = "negative-spike"
        kind = "spike"
        false_per_week = 0.25
        min_ratio = 3
        cooldown = "8h"
        warmup = "2d"
        series = ["company:*"]
    """
    rules = loaded(tmp_path, text, SpikeRule(min_sources=4, history_s=86_400.0))
    assert (rules.limit_rules, rules.detector_overridden) == ((), True)
    assert rules.detector == SpikeRule(
        min_sources=4, history_s=86_400.0, false_per_week=0.25, min_ratio=3, cooldown_s=8 * 3600.0, warmup_s=2 * 86_400.0,
        series=("company:*",),
    )  # fmt: skip


def test_a_rule_may_have_a_materiality_of_its_own(tmp_path: Path):
    text = """
        [[rules]]
        name = "时政"
        kind = "volume"
        series = ["market:all"]
        over = 50
        min_materiality = 0

        [[rules]]
        name = "urgent"
        kind = "risk_event"
        series = ["company:*"]
        over = 0.8
        min_materiality = 0.9

        [[rules]]
        name = "as set"
        kind = "mean_tone"
        series = ["market:all"]
        below = -0.3

        [[rules]]
        name = "negative-spike"
        kind = "spike"
        min_materiality = 0.7
    """
    rules = loaded(tmp_path, text, SpikeRule(min_materiality=0.6))
    assert [rule.min_materiality for rule in rules.limit_rules] == [0.0, 0.9, 0.6]
    assert rules.detector.min_materiality == 0.7
    assert SpikeRule.from_settings(Settings(alert_min_materiality=0.25)).min_materiality == 0.25


@pytest.mark.parametrize("value", ["-0.1", "1.01", "nan", "inf", "true", '"0.5"', "[0.5]"])
def test_a_materiality_that_is_no_probability_is_a_mistake(tmp_path: Path, value: str):
    text = f"""
        [[rules]]
        name = "a"
        kind = "volume"
        series = ["*"]
        over = 5
        min_materiality = {value}
    """
    (line,) = mistakes(tmp_path, text)
    assert "number 1 (a): min_materiality: " in line and "expected a probability from 0 to 1, such as 0.5" in line
    (percent,) = mistakes(tmp_path, text.replace(value, "70"))
    assert "did you mean 0.7?" in percent


def test_all_mistakes_are_reported_at_once_with_their_place(tmp_path: Path):
    text = """
        [[rules]]
        name = "a"
        kind = "negative_shares"
        series = ["topics:energy"]

        [[rules]]
        name = "a"
        kind = "mean_tone"
        series = ["topic:enrgy", "company:APPL", "sector:whatever"]
        bellow = -0.3

        [[rules]]
        kind = "risk_event"
        series = []
        over = 80
        events = ["frauds"]
        severity = "critcal"
        window = "1 hour"
    """
    lines = mistakes(tmp_path, text)
    wanted = [
        ("number 1 (a): kind: 'negative_shares'", "did you mean 'negative_share'?"),
        ("number 1 (a): series: 'topics:energy'", "did you mean 'topic'?"),
        ("number 2 (a): there is no field 'bellow'", "did you mean 'below'?"),
        ("number 2 (a): below is missing", ""),
        ("number 2 (a): series: there is no topic 'enrgy'", "did you mean 'energy'?"),
        ("number 2 (a): series: there is no company 'APPL'", "did you mean 'AAPL'?"),
        ("number 2 (a): name: number 1 has the same", ""),
        ("number 3: name is missing", ""),
        ("number 3: series: expected a list of patterns", ""),
        ("number 3: over: 80: expected a probability", "did you mean 0.8?"),
        ("number 3: events: 'frauds'", "did you mean 'fraud'?"),
        ("number 3: severity: 'critcal'", "did you mean 'critical'?"),
        ("number 3: window: '1 hour' is not a duration", ""),
    ]
    assert all(line.startswith(f"rules {tmp_path / '规则.toml'}: number ") for line in lines)
    for place, hint in wanted:
        assert any(place in line and hint in line for line in lines), (place, hint)
    assert len(lines) == len(wanted), lines


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("over = true", "over: True"),
        ("over = 1.0", "over: 1.0: expected a share"),
        ("over = nan", "over: nan"),
        ("window = 0", "window: 0"),
        ('window = "8d"', "window: '8d'"),
        ("window = 1.5", "window: 1.5"),
        ("cooldown = -1", "cooldown: -1"),
        ("min_stories = 0", "min_stories: 0"),
        ("min_sources = 2.0", "min_sources: 2.0"),
        ('paused = "no"', "paused: 'no'"),
        ('name = "a*"', "name: 'a*'"),
        ('name = "test"', "webhooks test"),
        ('name = "negative-spike"', "the spike detector's name"),
        ('series = ["company:"]', "series: 'company:'"),
        ("series = [1]", "expected a list of patterns"),
        ("min_ratio = 3", "no field 'min_ratio' in a rule of kind 'negative_share'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(tmp_path: Path, line: str, message: str):
    field = line.split(" = ", maxsplit=1)[0]
    kept = "".join(each + "\n" for each in SHARE.splitlines() if not each.startswith(field))
    (mistake,) = mistakes(tmp_path, f"[[rules]]\n{kept}{line}\n")
    assert message in mistake


def test_a_second_spike_rule_and_a_malformed_file_are_refused(tmp_path: Path):
    spike = '[[rules]]\nname = "{}"\nkind = "spike"\n'
    (mistake,) = mistakes(tmp_path, spike.format("x") + spike.format("y"))
    assert "number 2 (y): kind: there is a rule of kind 'spike' above" in mistake
    for text, message in (
        ("[[rule]]\n", "unknown key 'rule'; only [[rules]] tables"),
        ("rules = [1]", "is not a table"),
        ("=", "is not valid TOML"),
        ("", "has no [["),
    ):
        assert message in mistakes(tmp_path, text)[0]


def test_the_example_shows_a_rule_of_every_kind():
    rules = load_rules(EXAMPLE, SpikeRule())
    assert {rule.kind for rule in rules.limit_rules} | {"spike"} == set(KINDS)
    assert rules.detector_overridden
