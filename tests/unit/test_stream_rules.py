"""Faust loses messages in the forms that its documentation shows. These forms must not come back into stream/."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

STREAM = Path(__file__).resolve().parents[2] / "stream"
FAUST_DOORS = {"app.py", "agents.py"}


def forbidden(source: str) -> Iterator[str]:
    """What in `source` loses messages, and why."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute) and node.func.attr == "take":
                yield "take() acknowledges a batch whose body raised"
            for keyword in node.keywords:
                value = ast.unparse(keyword.value)
                if keyword.arg == "concurrency" and value != "1":
                    yield "with concurrency over 1 an offset is committed before the ones below it are done"
                if keyword.arg == "value_type" and value != "bytes":
                    yield "a typed topic kills its agent silently on the first bad message"
                if keyword.arg == "stream_wait_empty" and value != "True":
                    yield "a stop in the middle of a batch acknowledges it"
                if keyword.arg in ("processing_guarantee", "producer_threaded"):
                    yield "open bugs in Faust"
        if isinstance(node, ast.AsyncFor) and isinstance(node.iter, ast.Name | ast.Attribute):
            yield "iterating over the stream itself acknowledges a message whose body raised"


@pytest.mark.parametrize("path", sorted(STREAM.glob("*.py")), ids=lambda path: path.name)
def test_no_form_that_loses_messages(path: Path):
    assert list(forbidden(path.read_text())) == []


@pytest.mark.parametrize("path", sorted(STREAM.glob("*.py")), ids=lambda path: path.name)
def test_faust_has_two_doors(path: Path):
    modules = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    }
    assert not modules & {"faust", "mode", "aiokafka"} or path.name in FAUST_DOORS
    assert not modules & {"ingest", "tocsin", "dashboard", "torch", "transformers", "chdb", "clickhouse_driver"}
    assert "httpx" not in modules or path.name == "webhooks.py"


@pytest.mark.parametrize(
    "source",
    [
        "async def f(s):\n async for b in s.take(5, within=1): pass",
        "app.agent(topic, concurrency=2)(run)",
        "app.topic('x', value_type=Article)",
        "async def f(stream):\n async for event in stream: pass",
        "faust.App('x', stream_wait_empty=False)",
    ],
)
def test_the_check_sees_each_form(source: str):
    assert list(forbidden(source))


def test_the_flow_is_drawn_on_top_of_agents():
    drawing = ast.get_docstring(ast.parse((STREAM / "agents.py").read_text())) or ""
    assert "articles ─▶ [score] ─▶ scores ─▶ [watch] ─▶ alerts ─▶ [notify] ─▶ webhooks" in drawing
