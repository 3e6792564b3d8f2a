"""`tocsin watchlists`: check a file, match texts and stored articles, list the active watchlists."""

from __future__ import annotations

import contextlib
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.records import Scored
from core.series import register_watchlist_names, series_name
from core.settings import Settings
from storage.store import Store
from tests.helpers.stores import save, scored
from tocsin import wiring
from tocsin.cli import main
from tocsin.runtime.pipeline import make_pipeline

FILE = """
[[watchlist]]
name = "property"
title_en = "Developers' debt"
title_zh = "房企债务"
companies = ["000002.SZ"]
keywords = ["房企 | developer", "+债 | bond", "!周年 | [bold]"]

[[watchlist]]
name = "rates"
keywords = ["rate hike | 加息", "/利率.{0,4}上调/"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path / "data"))
    path = tmp_path / "watchlists.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_check_shows_the_watchlists_of_a_file(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    assert main(["watchlists", "check", str(file)]) == 0
    output = capsys.readouterr().out
    for part in ("property: Developers' debt · 房企债务", "000002.SZ", "房企 | developer", "+债 | bond", "[bold]", "rates: rates · rates"):
        assert part in output
    monkeypatch.setenv("TOCSIN_WATCHLISTS", str(file))
    try:
        assert main(["watchlists", "check", "--json"]) == 0
        first = json.loads(capsys.readouterr().out.splitlines()[0])
        assert (first["name"], first["title_zh"], first["companies"]) == ("property", "房企债务", ["000002.SZ"])
        assert series_name("watchlist:property", "zh") == "房企债务"  # every command registers the titles
    finally:
        register_watchlist_names({})


def test_errors_are_listed_with_exit_code_2(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(FILE.replace("000002.SZ", "02202.HK").replace('"rates"', '"property"').replace("/利率", "/(利率"), encoding="utf-8")
    assert main(["watchlists", "check", str(file)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "number 1 (property): companies: '02202.HK' is unknown; did you mean '000002.SZ'?" in lines[0]
    assert "number 2 (property): keywords: '/(利率.{0,4}上调/' is not a valid RE2 regular expression" in lines[1]
    assert "number 2 (property): name: also used by number 1" in lines[2]
    assert all(str(file) in line for line in lines)
    assert main(["watchlists", "try", "--text", "x"]) == 2
    assert "specify FILE or set `watchlists`" in capsys.readouterr().err


def test_texts_are_matched_without_a_store(file: Path, capsys: pytest.CaptureFixture[str]):
    texts = ["多家房企美元债违约", "房企美元债十周年", "万科债务展期", "Fed: RATE HIKE ahead", "[red]平静"]
    assert main(["watchlists", "try", str(file), "--json", *(part for text in texts for part in ("--text", text))]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[hit["name"] for hit in row["watchlists"]] for row in rows] == [["property"], [], ["property"], ["rates"], []]
    assert rows[2]["watchlists"][0]["companies"] == ["000002.SZ"]
    assert main(["watchlists", "try", str(file), "--text", texts[0], "--text", texts[4]]) == 0
    output = capsys.readouterr().out
    assert "property: keywords 房企 | developer, +债 | bond" in output
    assert "[red]平静" in output and "no match" in output
    assert not (file.parent / "data" / "store").exists()


def at(made: Scored, moment: datetime) -> Scored:
    """The same scored article, published at `moment`."""
    article = msgspec.structs.replace(made.article, published_at=moment, fetched_at=moment)
    return Scored(article=article, score=msgspec.structs.replace(made.score, published_at=moment, scored_at=moment))


def test_stored_articles_are_matched_and_a_worker_backfills_a_watchlist(file: Path, capsys: pytest.CaptureFixture[str]):
    now = datetime.now(UTC).replace(microsecond=0)
    settings = Settings(data_dir=str(file.parent / "data"), watchlists=str(file), model="keyword")
    items = [
        at(scored("a", title="房企债券违约", negative=0.9), now - timedelta(days=1)),
        at(scored("b", title="Developer bond rallies", negative=0.1), now - timedelta(days=2)),
        at(scored("c", title="Profit up"), now - timedelta(days=2)),
        at(scored("d", title="房企债券违约", negative=0.9), now - timedelta(days=9)),
    ]
    with contextlib.closing(wiring.make_store(settings)) as store:
        save(store, *items)
        for times in range(2):
            with contextlib.closing(make_pipeline(settings, store, wiring.make_classifier(settings))):
                assert past(store, now) == 3, times
    assert main(["watchlists", "try", str(file), "--days", "7"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"property: matched 2 of 3 articles in the last 7 days, 1 of them negative", output)
    assert output.index("房企债券违约") < output.index("Developer bond rallies")
    assert "rates: matched 0 of 3" in output
    assert main(["watchlists", "try", str(file), "--days", "30", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (first["articles"], first["negative"], first["read"]) == (3, 2, 4)


def past(store: Store, now: datetime) -> int:
    counts = store.mentions.window_counts("watchlist:property", now - timedelta(days=14), now, 86_400)
    return sum(count.total for count in counts)


def test_the_settings_pass_the_file_to_other_processes(file: Path):
    from core.settings import build, environment

    settings = Settings(watchlists=str(file))
    assert build({}, environment(settings)) == settings
    assert msgspec.convert(msgspec.to_builtins(settings), Settings) == settings


def test_list_shows_watchlists_saved_on_the_dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("TOCSIN_DATA_DIR", str(tmp_path))
    with contextlib.closing(wiring.make_store(Settings(data_dir=str(tmp_path)))) as store:
        store.watchlist_texts.add('[[watchlist]]\nname = "written"\nkeywords = ["债券"]\n', "王芳", datetime.now(UTC))
        store.rule_texts.add(
            '[[rules]]\nname = "flood"\nkind = "volume"\nseries = ["watchlist:written"]\nover = 5\n', "Ann", datetime.now(UTC)
        )
    assert main(["watchlists", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "written"
    assert main(["rules", "list", "--json"]) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["negative-spike", "flood"]
