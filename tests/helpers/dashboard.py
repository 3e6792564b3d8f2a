"""Helpers for tests of the dashboard: a clock, an empty store, and the requests that a browser sends for a callback."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import dash

from core.errors import StoreUnavailable
from dashboard.web.permissions import callback_key

NOW = datetime(2026, 11, 22, 6, 5, tzinfo=UTC)
CALLBACK_PATH = "/_dash-update-component"


class ManualClock:
    """A monotonic clock that a test sets."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class EmptyClickHouse:
    """A ClickHouse without rows.

    Attributes:
        queries: number of queries so far
        down: whether queries fail
    """

    database = "tocsin"

    def __init__(self) -> None:
        self.queries = 0
        self.down = False

    def query(self, sql: str, **_values: Any) -> list[tuple[Any, ...]]:
        self.queries += 1
        if self.down:
            raise StoreUnavailable("ClickHouse cannot be reached")
        return [(0,)] if "sum(rows) FROM system.parts" in sql or "count() FROM dead_letters" in sql else []

    def command(self, sql: str) -> None: ...

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None: ...

    def close(self) -> None: ...


def callback_body(app: dash.Dash, output: str, **values: Any) -> dict[str, Any]:
    """The body that a browser posts for a callback.

    Args:
        output: first output of the callback, as in permissions.CALLBACKS; or any part of its outputs
        values: values of inputs and states by "id_property", hyphens as underscores
    """
    serverside = [(name, known) for name, known in app.callback_map.items() if "callback" in known]
    name, known = next(((name, known) for name, known in serverside if callback_key(name) == output), None) or next(
        (name, known) for name, known in serverside if output in name
    )
    split = [each.rpartition(".") for each in name.strip(".").split("...")]
    outputs = [{"id": id_, "property": property_} for id_, _, property_ in split]
    parts = {
        part: [{**item, "value": values.get(f"{item['id']}_{item['property']}".replace("-", "_"))} for item in known[part]]
        for part in ("inputs", "state")
    }
    changed = [f"{item['id']}.{item['property']}" for item in known["inputs"]]
    return {"output": name, "outputs": outputs if name.startswith("..") else outputs[0], "changedPropIds": changed, **parts}


def words_of(part: Any) -> str:
    """A component as the browser gets it."""
    return json.dumps(part, default=lambda piece: piece.to_plotly_json(), ensure_ascii=False)
