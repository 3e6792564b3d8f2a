"""docker-compose.yml: valid by the schema of the Compose Specification, with existing commands only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from core.settings import rows
from tocsin.cli.main import group

ROOT = Path(__file__).resolve().parents[3]
ROLES = {"crawler": "crawl", "worker": "work", "scheduler": "schedule", "dashboard": "dashboard", "migrate": "migrate"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_it_is_valid(compose: dict[str, Any]):
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(compose)


def test_the_schema_refuses_what_is_no_compose_file(compose: dict[str, Any]):
    schema = json.loads((ROOT / "tests" / "data" / "compose-spec.json").read_text(encoding="utf-8"))
    broken = {**compose, "services": {**compose["services"], "worker": {**compose["services"]["worker"], "comand": []}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validators.validator_for(schema)(schema).validate(broken)


def test_every_role_is_there_with_a_command_of_ours_and_a_health_check(compose: dict[str, Any]):
    services = compose["services"]
    assert set(services) == {"kafka", "clickhouse", *ROLES}
    for name, command in ROLES.items():
        assert services[name]["command"][0] == command
        known = {option for parameter in group.commands[command].params for option in parameter.opts}
        assert {word for word in services[name]["command"] if word.startswith("--")} <= known
    for name in set(services) - {"migrate"}:
        assert services[name]["healthcheck"]["test"], f"{name} has no health check"


def test_its_environment_names_real_settings(compose: dict[str, Any]):
    names = {"TOCSIN_CONFIG", *(f"TOCSIN_{row.name.upper()}" for row in rows())}
    for name in ROLES:
        assert set(compose["services"][name]["environment"]) <= names


def test_the_files_it_mounts_are_there(compose: dict[str, Any]):
    for name in ROLES:
        for volume in compose["services"][name].get("volumes", []):
            source = volume.split(":", maxsplit=1)[0]
            assert not source.startswith(".") or (ROOT / source).exists(), volume
