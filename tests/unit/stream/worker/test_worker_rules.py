"""What stream/ may import, and where its flow is drawn. How it may read from Kafka is held by test_consumption.py."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

STREAM = Path(__file__).resolve().parents[4] / "stream"
FAUST_DOORS = {"app.py", "agents.py"}


@pytest.mark.parametrize("path", sorted(STREAM.glob("*.py")), ids=lambda path: path.name)
def test_faust_has_two_doors(path: Path):
    modules = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not modules & {"faust", "mode"} or path.name in FAUST_DOORS
    assert "aiokafka" not in modules or path.name in {*FAUST_DOORS, "presence.py"}
    assert not modules & {"ingest", "tocsin", "dashboard", "torch", "transformers", "chdb", "clickhouse_driver"}
    assert "httpx" not in modules or path.name == "webhooks.py"


def test_the_flow_is_drawn_on_top_of_agents():
    drawing = ast.get_docstring(ast.parse((STREAM / "agents.py").read_text())) or ""
    assert "articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks" in drawing
