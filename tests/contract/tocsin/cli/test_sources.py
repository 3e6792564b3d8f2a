"""`tocsin sources`: add sources of the catalogue, import and export OPML with a store."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from core.settings import Settings
from storage.store import Feed
from tocsin import wiring
from tocsin.cli import main

FILE = """
[[sources]]
name = "文件里的源"
url = "https://file.example/rss?a=1&b=2"
language = "zh"
interval_s = 300

[[sources]]
name = "paid"
url = "https://me:hidden@paid.example/rss"
"""
OPML = """<?xml version="1.0" encoding="UTF-8"?>
<opml version="2.0"><body>
<outline text="已有" xmlUrl="https://file.example/rss?a=1&amp;b=2"/>
<outline text="文件里的源" xmlUrl="https://other.example/feed" language="zh"/>
<outline text="fast" xmlUrl="https://fast.example/" xmlns:t="urn:tocsin:source" t:interval_s="1"/>
<outline text="page" type="link" url="https://page.example/"/>
</body></opml>
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("TOCSIN_SOURCES", str(tmp_path / "sources.toml"))
    (tmp_path / "sources.toml").write_text(FILE, encoding="utf-8")
    (tmp_path / "reader.opml").write_text(OPML, encoding="utf-8")
    return tmp_path


def stored(folder: Path) -> dict[str, Feed]:
    with contextlib.closing(wiring.make_store(Settings(data_dir=str(folder / "data")))) as store:
        assert {entry.address for entry in store.audit.latest(100)} == {"command line"}
        return {feed.name: feed for feed in store.feeds.all()}


def test_sources_of_the_catalogue_are_added_once(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["sources", "catalogue", "--add", "us_fed_press", "--add", "cn_nbs_releases", "--who", "王芳"]) == 0
    output = capsys.readouterr()
    assert "国家统计局：最新发布" in output.out
    assert "could not be tried" in output.err
    found = stored(folder)
    assert {feed.url for feed in found.values()} == {
        "https://www.federalreserve.gov/feeds/press_all.xml",
        "https://www.stats.gov.cn/sj/zxfb/rss.xml",
    }
    feed = found["国家统计局：最新发布"]
    assert (feed.actor, json.loads(feed.body)["timezone"], json.loads(feed.body)["language"]) == ("王芳", "Asia/Shanghai", "zh")
    assert main(["sources", "catalogue", "--add", "us_fed_press"]) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_file_is_checked_imported_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["sources", "import", "--opml", str(folder / "reader.opml")]
    assert main([*arguments, "--check"]) == 0
    output = capsys.readouterr().out
    assert "line 3: duplicate: 已有: '文件里的源' has the same address" in output
    assert "line 4: would be added: 文件里的源 (other.example) (renamed from '文件里的源')" in output
    assert "line 6: unsupported: page: type 'link' is not supported" in output
    assert "2 would be added, 1 duplicates, 1 unsupported, 0 refused" in output

    assert main([*arguments, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in report["added"]] == ["文件里的源 (other.example)"]
    assert [row["line"] for row in report["refused"]] == [5]
    assert "too short" in report["refused"][0]["reason"]
    assert list(stored(folder)) == ["文件里的源 (other.example)"]

    assert main(["sources", "export", "--opml", str(folder / "out.opml")]) == 0
    messages = capsys.readouterr().err
    assert "2 feeds written, 1 left out" in messages
    assert "left out: paid: its address has a user name or password" in messages
    assert "check before you share the file: 文件里的源: its address has a query" in messages
    written = (folder / "out.opml").read_text(encoding="utf-8")
    assert "hidden" not in written + messages
    assert (
        'text="文件里的源" title="文件里的源" xmlUrl="https://file.example/rss?a=1&amp;b=2" language="zh" tocsin:interval_s="300.0"'
        in written
    )
    assert 'xmlUrl="https://other.example/feed"' in written
    assert main(["sources", "import", "--opml", str(folder / "out.opml")]) == 0
    assert "0 added, 2 duplicates" in capsys.readouterr().out


def test_a_damaged_file_is_refused_before_a_store_is_made(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "reader.opml").write_text(OPML.replace("</body>", ""), encoding="utf-8")
    assert main(["sources", "import", "--opml", str(folder / "reader.opml")]) == 2
    error = capsys.readouterr().err
    assert "line 7" in error
    assert "last outline: 'page' in line 6" in error
    assert not (folder / "data").exists()
    assert main(["sources", "import", "--opml", str(folder / "missing.opml")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_export_to_stdout_has_only_the_file(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    assert main(["sources", "export", "--opml", "-"]) == 0
    assert capfdbinary.readouterr().out.decode().startswith('<?xml version="1.0" encoding="UTF-8"?>\n<opml version="2.0"')
