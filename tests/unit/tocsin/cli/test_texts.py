"""Texts that a person gives to a command, in the encoding of their terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from core.errors import InvalidInput
from tests.helpers.shared_data import shared_dir
from tocsin.cli.classify import texts_given

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "charset"
LINES = ["公司债券违约，股票停牌", "业绩大增"]


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> list[str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    return texts_given(["-"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "big5hkscs"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_stdin_is_read_in_every_usual_encoding(monkeypatch, encoding, ending):
    lines = ["公司債券違約，股票停牌", "業績大增"] if encoding == "big5hkscs" else LINES
    assert piped(monkeypatch, ending.join([*lines, ""]).encode(encoding)) == lines


def test_stdin_that_is_no_text_is_refused(monkeypatch):
    with pytest.raises(InvalidInput, match="stdin: no encoding gives plausible text"):
        piped(monkeypatch, (CORPUS / "noise.bin").read_bytes())


def test_arguments_of_a_chinese_terminal_are_read():
    assert texts_given([line.encode("gbk").decode("utf-8", "surrogateescape") for line in LINES]) == LINES
    assert texts_given(["Profit up", "\ufeff业绩大增 ", " "]) == ["Profit up", "业绩大增"]


@pytest.mark.parametrize(("name", "lines"), [("gbk.txt", LINES), ("bom.txt", ["Shares tumble", "Profit up"])])
def test_the_files_of_the_case(monkeypatch, name, lines):
    assert piped(monkeypatch, (shared_dir() / "cases/14_stdin_gbk" / name).read_bytes()) == lines
