"""deploy/: alerting rules use existing metrics only."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import REGISTRY

import core.metrics
from core.errors import EXIT_USAGE
from tocsin.cli.main import group

RULES = Path(__file__).resolve().parents[3] / "deploy" / "prometheus.rules.yml"


def names() -> set[str]:
    """Every sample that our metrics expose."""
    assert core.metrics.DEAD_LETTERS
    found = set()
    for family in REGISTRY.collect():
        if family.name.startswith("tocsin_"):
            found.add(family.name + ("_total" if family.type == "counter" else ""))
    return found


def test_the_alarms_ask_for_metrics_that_exist():
    groups: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["labels"]["severity"] for rule in rules} == {"critical", "warning"}
    asked = {name for rule in rules for name in re.findall(r"tocsin_\w+", rule["expr"])}
    assert "tocsin_lost_messages_total" in asked
    assert asked <= names()
    assert all(rule["annotations"]["summary"] for rule in rules)


def test_the_unit_starts_a_worker_again_but_not_after_a_mistake_of_a_person():
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(RULES.parent / "tocsin-worker@.service", encoding="utf-8")
    service = unit["Service"]
    command = service["ExecStart"].split()
    assert Path(command[0]).name == "tocsin" and command[1] in group.commands
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("always", str(EXIT_USAGE))
    assert int(service["TimeoutStopSec"]) > 30  # the worker's own shutdown watchdog


def test_every_test_named_in_reliability_md_exists():
    text = (RULES.parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    missing, file = [], ""
    for path, name in re.findall(r"(tests/[\w/]+\.py)?(?:::(\w+))?", text):
        file = path or file
        if not (path or name):
            continue
        source = (RULES.parents[1] / file).read_text(encoding="utf-8") if (RULES.parents[1] / file).exists() else ""
        if not source or (name and f"def {name}(" not in source):
            missing.append(f"{file}::{name}")
    assert missing == []
    assert text.count("::test_") > 80
