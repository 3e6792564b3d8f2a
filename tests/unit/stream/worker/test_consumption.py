"""The only way of consuming with Faust that loses nothing, enforced on the syntax tree (tests/faults/test_faust.py tests the others)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
PACKAGES = ("tocsin", "core", "storage", "domain", "actions", "stats", "net", "ingest", "models", "stream", "api", "dashboard", "bench")

AGENTS = "stream/worker/agents.py"
REGISTER = {AGENTS, "stream/worker/app.py"}
TAKES = {"take", "take_events", "take_with_timestamp"}
TABLES = {"Table", "GlobalTable", "SetTable", "SetGlobalTable"}
REQUIRED: dict[str, tuple[object, str]] = {
    "concurrency": (1, "with a concurrency above 1, an offset is committed before lower ones are done"),
    "stream_wait_empty": (True, "a stop in the middle of a batch acknowledges it"),
    "web_enabled": (False, "Faust's web server listens on every interface without authentication"),
}
FORBIDDEN = {
    "processing_guarantee": "exactly-once has open bugs: lost and duplicated messages, failed starts",
    "producer_threaded": "the threaded producer cannot await confirmations",
}


def violations(source: str, path: str) -> list[str]:
    """Forbidden uses in a module, as "path:line reason"."""
    tree = ast.parse(source)
    found = [*_settings(tree), *_calls(tree, path), *_names(tree)]
    if path.startswith("stream/"):
        found += _loops(tree)
    return [f"{path}:{line} {why}" for line, why in sorted(found)]


def noack_takes(tree: ast.Module) -> list[int]:
    """The lines with noack_take."""
    return sorted(node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "noack_take")


def _settings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    apps = _apps(tree)
    for node in ast.walk(tree):
        for name, value in _named(node):
            if name in REQUIRED:
                required, why = REQUIRED[name]
                if not (isinstance(value, ast.Constant) and type(value.value) is type(required) and value.value == required):
                    yield value.lineno, f"{name} is not {required}: {why}"
            if name in FORBIDDEN:
                yield value.lineno, f"{name}: {FORBIDDEN[name]}"
            if name in {"key_type", "value_type"} and ast.unparse(value) != "bytes":
                yield value.lineno, f"{name} is not bytes: a typed topic kills its agent silently on the first bad message"
        if isinstance(node, ast.Call) and ast.unparse(node.func) in apps and "web_enabled" not in {key.arg for key in node.keywords}:
            yield node.lineno, f"web_enabled is not False: {REQUIRED['web_enabled'][1]}"


def _named(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Named values: arguments, attributes and dictionary entries."""
    if isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    if isinstance(node, ast.Assign):
        yield from ((target.attr, node.value) for target in node.targets if isinstance(target, ast.Attribute))
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _apps(tree: ast.Module) -> set[str]:
    """faust.App and its subclasses in this module."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {"faust.App"} | {node.name for node in classes if any(ast.unparse(base) == "faust.App" for base in node.bases)}


def _calls(tree: ast.Module, path: str) -> Iterator[tuple[int, str]]:
    looped = {id(node.iter) for node in ast.walk(tree) if isinstance(node, ast.AsyncFor)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        # Outside stream/, other classes may have a take(rows) method; that of a Faust stream has `within`.
        streamed = path.startswith("stream/") or id(node) in looped or "within" in {key.arg for key in node.keywords}
        if name in TAKES and isinstance(node.func, ast.Attribute) and streamed:
            yield node.lineno, f"{name}() acknowledges a batch whose body raised"
        if name in TABLES and ast.unparse(node.func) not in {"html.Table", "Table"}:
            yield node.lineno, f"{name}: Faust's tables commit with a changelog of their own"
        if name in {"agent", "add_agent"} and path not in REGISTER:
            yield node.lineno, f"{name}() may only be used in {' and '.join(sorted(REGISTER))}"
    lines = noack_takes(tree)
    for line in lines[1:] if path == AGENTS else lines:
        yield line, f"noack_take() may be used once, in {AGENTS}"


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "Record" and ast.unparse(node) == "faust.Record":
            yield node.lineno, "faust.Record: a typed topic kills its agent silently on the first bad message"
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "faust":
            for alias in node.names:
                if alias.name in {"App", "Record", *TABLES}:
                    yield node.lineno, f"write faust.{alias.name}: these checks do not recognise aliases"
        if isinstance(node, ast.Constant) and node.value == "exactly_once":
            yield node.lineno, f"exactly_once: {FORBIDDEN['processing_guarantee']}"


def _loops(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFor) and not (isinstance(node.iter, ast.Call) and ast.unparse(node.iter.func).endswith(".noack_take")):
            yield node.lineno, "a loop over the stream itself acknowledges a message whose body raised"


def modules() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_kafka_is_consumed_only_in_the_allowed_way():
    assert [violation for path, source in modules() for violation in violations(source, path)] == []


def test_noack_take_is_used_once():
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
        ("counts = app.Table('counts')", "stream/worker/app.py", "Table: Faust's tables"),
        ("counts = app.GlobalTable('counts')", "stream/worker/app.py", "GlobalTable: Faust's tables"),
        ("app.agent(topic)(run)", "bench/x.py", "agent() may only be used in"),
        ("@app.agent(topic)\nasync def run(stream): pass", "stream/x.py", "agent() may only be used in"),
        ("add_agent(app, stage, progress, 1.0, fatal)", "tocsin/x.py", "add_agent() may only be used in"),
        ("batches = stream.noack_take(5, within=1)", "stream/x.py", "noack_take() may be used once"),
        ("a = stream.noack_take(5, within=1)\nb = stream.noack_take(5, within=1)", AGENTS, "noack_take() may be used once"),
        ("app = faust.App('x', web_enabled=True)", "stream/worker/app.py", "web_enabled is not False"),
        ("app = faust.App('x')", "stream/worker/app.py", "web_enabled is not False"),
        ("class _App(faust.App): pass\napp = _App('x')", "stream/worker/app.py", "web_enabled is not False"),
    ],
)
def test_each_forbidden_form_is_detected(source: str, path: str, why: str):
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
def test_allowed_forms_pass(source: str, path: str):
    assert violations(source, path) == []


def test_faust_is_imported_only_by_the_app_and_the_agents():
    importers = {
        path
        for path, source in modules()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.split(".")[0] in {"faust", "mode"}
    }
    assert importers <= REGISTER
