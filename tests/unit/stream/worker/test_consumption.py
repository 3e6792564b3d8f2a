"""The one way in which we read from Kafka with Faust, held by the syntax tree. tests/faults/test_faust.py shows what the others lose."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
OURS = ("tocsin", "core", "storage", "domain", "actions", "stats", "net", "ingest", "models", "stream", "api", "dashboard", "bench")

AGENTS = "stream/worker/agents.py"
REGISTER = {AGENTS, "stream/worker/app.py"}
TAKES = {"take", "take_events", "take_with_timestamp"}
TABLES = {"Table", "GlobalTable", "SetTable", "SetGlobalTable"}
MUST_BE: dict[str, tuple[object, str]] = {
    "concurrency": (1, "with concurrency over 1 an offset is committed before the ones below it are done"),
    "stream_wait_empty": (True, "a stop in the middle of a batch acknowledges it"),
    "web_enabled": (False, "Faust's web server is open to all on every interface"),
}
MUST_NOT_BE = {
    "processing_guarantee": "exactly once has open bugs: messages lost, doubled, no start",
    "producer_threaded": "the threaded producer cannot wait for what it publishes",
}


def violations(source: str, path: str) -> list[str]:
    """What in `source`, the module at `path`, reads from Kafka in a way that is not allowed: "path:line why"."""
    tree = ast.parse(source)
    found = [*_settings(tree), *_calls(tree, path), *_names(tree)]
    if path.startswith("stream/"):
        found += _loops(tree)
    return [f"{path}:{line} {why}" for line, why in sorted(found)]


def noack_takes(tree: ast.Module) -> list[int]:
    """The lines that name noack_take."""
    return sorted(node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "noack_take")


def _settings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    apps = _apps(tree)
    for node in ast.walk(tree):
        for name, value in _named(node):
            if name in MUST_BE:
                wanted, why = MUST_BE[name]
                if not (isinstance(value, ast.Constant) and type(value.value) is type(wanted) and value.value == wanted):
                    yield value.lineno, f"{name} is not {wanted}: {why}"
            if name in MUST_NOT_BE:
                yield value.lineno, f"{name}: {MUST_NOT_BE[name]}"
            if name in {"key_type", "value_type"} and ast.unparse(value) != "bytes":
                yield value.lineno, f"{name} is not bytes: a typed topic kills its agent silently on the first bad message"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in apps and "web_enabled" not in {key.arg for key in node.keywords}:
            yield node.lineno, f"web_enabled is not False: {MUST_BE['web_enabled'][1]}"


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """A value that is given a name here: as an argument, as an attribute, or in a dictionary."""
    if isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    if isinstance(node, ast.Assign):
        yield from ((target.attr, node.value) for target in node.targets if isinstance(target, ast.Attribute))
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _apps(tree: ast.Module) -> set[str]:
    """Faust's app, and the classes made of it here."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {"faust.App"} | {node.name for node in classes if any(ast.unparse(base) == "faust.App" for base in node.bases)}


def _calls(tree: ast.Module, path: str) -> Iterator[tuple[int, str]]:
    looped = {id(node.iter) for node in ast.walk(tree) if isinstance(node, ast.AsyncFor)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        # Outside stream/ a collection of ours may have a take(rows) of its own. A stream's wants `within`.
        streamed = path.startswith("stream/") or id(node) in looped or "within" in {key.arg for key in node.keywords}
        if name in TAKES and isinstance(node.func, ast.Attribute) and streamed:
            yield node.lineno, f"{name}() acknowledges a batch whose body raised"
        if name in TABLES and ast.unparse(node.func) not in {"html.Table", "Table"}:
            yield node.lineno, f"{name}: a table of Faust's commits with its own changelog"
        if name in {"agent", "add_agent"} and path not in REGISTER:
            yield node.lineno, f"{name}() belongs into {' and '.join(sorted(REGISTER))}"
    lines = noack_takes(tree)
    for line in lines[1:] if path == AGENTS else lines:
        yield line, f"noack_take() stands in one place of {AGENTS}"


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "Record" and ast.unparse(node) == "faust.Record":
            yield node.lineno, "faust.Record: a typed topic kills its agent silently on the first bad message"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "faust":
            for alias in node.names:
                if alias.name in {"App", "Record", *TABLES}:
                    yield node.lineno, f"write faust.{alias.name}: these rules do not see it by another name"
        if isinstance(node, ast.Constant) and node.value == "exactly_once":
            yield node.lineno, f"exactly_once: {MUST_NOT_BE['processing_guarantee']}"


def _loops(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFor) and not (isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func).endswith(".noack_take")):
            yield node.lineno, "a loop over the stream itself acknowledges a message whose body raised"


def modules() -> Iterator[tuple[str, str]]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_we_read_from_kafka_in_the_one_allowed_way():
    assert [violation for path, source in modules() for violation in violations(source, path)] == []


def test_the_one_way_stands_in_one_place():
    places = [path for path, source in modules() for _ in noack_takes(ast.parse(source))]
    assert places == [AGENTS]


@pytest.mark.parametrize(
    ("source", "path", "why"),
    [
        ("async def f(s):\n async for b in s.take(5, within=1): pass", "bench/x.py", "take() acknowledges"),
        ("async def f(s):\n async for b in s.take(5, 1): pass", "bench/x.py", "take() acknowledges"),
        ("batches = stream.take(5, 1)", "stream/x.py", "take() acknowledges"),
        ("batches = stream.take_events(5, within=1)", "bench/x.py", "take_events() acknowledges"),
        ("async def f(stream):\n async for event in stream: pass", "stream/x.py", "a loop over the stream itself"),
        ("async def f(stream):\n async for event in stream.events(): pass", "stream/worker/agents.py", "a loop over the stream itself"),
        ("app.topic('x', value_type=Article)", AGENTS, "value_type is not bytes"),
        ("app.topic('x', key_type=str)", AGENTS, "key_type is not bytes"),
        ("app.agent(topic, concurrency=2)(run)", AGENTS, "concurrency is not 1"),
        ("app.agent(topic, concurrency=n)(run)", AGENTS, "concurrency is not 1"),
        ("app.conf.stream_wait_empty = False", "stream/worker/app.py", "stream_wait_empty is not True"),
        ("faust.App('x', web_enabled=False, stream_wait_empty=False)", "stream/worker/app.py", "stream_wait_empty is not True"),
        ("settings = {'stream_wait_empty': False}", "stream/worker/app.py", "stream_wait_empty is not True"),
        ("_App('x', processing_guarantee='at_least_once')", "stream/worker/app.py", "processing_guarantee"),
        ("guarantee = 'exactly_once'", "stream/worker/app.py", "exactly_once"),
        ("_App('x', producer_threaded=True)", "stream/worker/app.py", "producer_threaded"),
        ("class Article(faust.Record): pass", "stream/x.py", "faust.Record"),
        ("from faust import Record", "stream/worker/app.py", "write faust.Record"),
        ("from faust import App as Application", "stream/worker/app.py", "write faust.App"),
        ("counts = app.Table('counts')", "stream/worker/app.py", "Table: a table of Faust's"),
        ("counts = app.GlobalTable('counts')", "stream/worker/app.py", "GlobalTable: a table of Faust's"),
        ("app.agent(topic)(run)", "bench/x.py", "agent() belongs into"),
        ("@app.agent(topic)\nasync def run(stream): pass", "stream/x.py", "agent() belongs into"),
        ("add_agent(app, stage, progress, 1.0, fatal)", "tocsin/x.py", "add_agent() belongs into"),
        ("batches = stream.noack_take(5, within=1)", "stream/x.py", "noack_take() stands in one place"),
        ("a = stream.noack_take(5, within=1)\nb = stream.noack_take(5, within=1)", AGENTS, "noack_take() stands in one place"),
        ("app = faust.App('x', web_enabled=True)", "stream/worker/app.py", "web_enabled is not False"),
        ("app = faust.App('x')", "stream/worker/app.py", "web_enabled is not False"),
        ("class _App(faust.App): pass\napp = _App('x')", "stream/worker/app.py", "web_enabled is not False"),
    ],
)
def test_the_check_sees_each_form(source: str, path: str, why: str):
    assert len(violations(source, path)) == 1
    assert why in violations(source, path)[0]


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("report_of(tally.take(inside), resamples=0)", "models/x.py"),
        ("html.Table([html.Thead(head)])", "dashboard/x.py"),
        ("async def f(answer):\n async for chunk in answer: pass", "ingest/x.py"),
        ("async def f(s):\n async for b in s.noack_take(5, within=1): pass", AGENTS),
        ("app.agent(app.topic('x', key_type=bytes, value_type=bytes), concurrency=1)(run)", AGENTS),
    ],
)
def test_the_check_lets_pass_what_is_allowed(source: str, path: str):
    assert violations(source, path) == []
