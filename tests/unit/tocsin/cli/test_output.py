"""The output of commands: what a terminal would act on never reaches it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tocsin.cli import common


@pytest.mark.parametrize("stream", ["out", "err"])
def test_escape_codes_are_replaced(stream: str, capsys: pytest.CaptureFixture[str]):
    common.echo("违约 é😀\tx\x1b]0;owned\x07\x9b31m\r\u202ey\ud800", err=stream == "err")
    assert getattr(capsys.readouterr(), stream) == "违约 é😀\tx\ufffd]0;owned\ufffd\ufffd31m\ufffd\ufffdy\ufffd\n"


def test_commands_print_through_one_function():
    for path in sorted(Path(common.__file__).parent.glob("*.py")):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        found = [f"{path.name}:{call.lineno}" for call in calls if ast.unparse(call.func) in ("click.echo", "click.secho", "print")]
        assert len(found) == (path.name == "common.py"), found
