"""TOML files as editors write them: with a byte order mark, in UTF-16, and in encodings that TOML does not allow."""

from __future__ import annotations

import codecs
import time

import pytest

from core.errors import SettingsError
from core.toml_files import parse_toml, read_rows, read_toml
from tests.helpers.shared_data import shared_dir
from tocsin import wiring

TEXT = '[[watchlist]]\nname = "prop"\ntitle_zh = "房企债券违约"\n'


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF8 + codecs.BOM_UTF8 + TEXT.encode(),
    ],
)
def test_a_byte_order_mark_does_not_matter(tmp_path, data):
    (tmp_path / "a.toml").write_bytes(data)
    assert read_toml(tmp_path / "a.toml", "watchlists") == {"watchlist": [{"name": "prop", "title_zh": "房企债券违约"}]}


def test_a_text_with_a_mark_is_parsed():
    assert parse_toml("\ufeffa = 1", "rules") == {"a": 1}


@pytest.mark.parametrize(("encoding", "name"), [("gb18030", "GB18030"), ("big5", "Big5")])
def test_another_encoding_is_refused_by_name_and_line(tmp_path, encoding, name):
    text = TEXT.replace("房企债券违约", "某地產公司公布年報，淨利潤同比下降，市場關注") + "# 監管部門就公司債券展開調查\n"
    (tmp_path / "a.toml").write_bytes(text.encode(encoding))
    with pytest.raises(SettingsError, match=rf"(?i)a.toml: is not UTF-8 but probably {name} \(line 3, byte 0x..\); save it as UTF-8"):
        read_toml(tmp_path / "a.toml", "watchlists")


def test_the_settings_may_have_a_mark_too(tmp_path):
    (tmp_path / "tocsin.toml").write_bytes(codecs.BOM_UTF8 + b'topic_prefix = "desk."\n')
    assert wiring.read_settings(str(tmp_path / "tocsin.toml"), {}).topic_prefix == "desk."


def test_the_watchlists_of_the_case_are_read():
    (row,) = read_rows(shared_dir() / "cases/13_toml_with_bom/wl_bom.toml", "watchlists", "watchlist")
    assert (row["name"], row["keywords"]) == ("prop", ["违约"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[" + "a." * 40_000 + "a]]", "text: line 1: a key has more than 16 parts"),
        ("b = 1\n" + "'a' . " * 40_000 + "a = 1", "text: line 2: a key has more than 16 parts"),
        ("a = {" + "b." * 40_000 + "c = 1}", "text: line 1: a key has more than 16 parts"),
        ("a = " + "[" * 90_000, "text: arrays or tables are nested more than 16 deep"),
        ("a = " + "[" * 20 + "]" * 20, "text: a: arrays or tables are nested more than 16 deep"),
        ("a = " + "{b=" * 90_000, "text: arrays or tables are nested more than 16 deep"),
        ("a = " + "9" * 90_000, "text: is not valid TOML (an integer has too many digits: "),
        ("a = [0x" + "f" * 90_000 + "]", "text: a: an integer has more than 64 bits"),
        ("a = 9223372036854775808", "text: a: an integer has more than 64 bits"),
    ],
)
def test_nesting_and_integers_are_bounded(text: str, message: str):
    began = time.process_time()
    with pytest.raises(SettingsError) as caught:
        parse_toml(text, "text")
    assert str(caught.value).startswith(message)
    assert time.process_time() - began < 1


def test_nesting_and_integers_within_the_bounds_are_read():
    text = "a = " + "[" * 15 + "]" * 15 + "\nb = -9223372036854775808\nc = 'a.b.c.d.e.f'\n" + ".".join("defgh") + " = 1"
    assert parse_toml(text, "text")["b"] == -(2**63)
