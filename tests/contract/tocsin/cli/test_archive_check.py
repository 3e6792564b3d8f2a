"""`tocsin backfill --check`: how a file is understood, as a person and as a program see it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers.command import run_tocsin

TEXT = "标题;内容;日期;时间;来源;备注\n" + "".join(
    f"某公司第{n}号公告;净利润同比下降，市场关注后续安排;2{n}/11/2026;09:3{n};某报;x\n" for n in range(7)
)


def test_the_columns_the_counts_and_five_rows_are_shown(tmp_path: Path):
    path = tmp_path / "export.csv"
    path.write_bytes((TEXT + "只有;两列\n坏时间;x;soon;;某报;x\n").encode("gbk"))
    shown = run_tocsin("backfill", "--check", "--timezone", "Asia/Shanghai", str(path), folder=tmp_path, COLUMNS="200")
    assert shown.returncode == 0, shown.stderr
    for words in (
        "CSV, separator semicolon, gb18030, 9 rows",
        "日期, 时间",
        "备注",
        "2026-11-20 09:30",
        "某公司第4号公告",
        "rows that would be stored: 8",
        "rows that would be rejected: 1",
        "rows without a trustworthy time, which alerts and charts would not count: 1",
        "rejected: line 9: 2 columns where the header has 6",
        "without a certain time: line 10: column '日期' + '时间': 'soon' is no time that is known",
        "read day first, as other rows prove",
    ):
        assert words in shown.stdout, (words, shown.stdout)
    assert "某公司第5号公告" not in shown.stdout
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("*.sqlite")), "a check stores nothing"


def test_the_check_is_also_a_json_object(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text('{"title": "Bank cuts outlook", "publishedAt": "2026-11-20T09:30:00Z"}\n', "utf-8")
    shown = run_tocsin("backfill", "--check", "--json", str(tmp_path / "a.jsonl"), folder=tmp_path)
    found = json.loads(shown.stdout)
    assert (found["valid"], found["undated"], found["first"][0]["title"]) == (1, 0, "Bank cuts outlook")
    assert {each["field"]: each["columns"] for each in found["fields"] if each["columns"]} == {
        "title": ["title"],
        "published": ["publishedAt"],
    }


def test_a_file_of_another_kind_is_refused(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04")
    shown = run_tocsin("backfill", "--check", str(tmp_path / "a.csv"), folder=tmp_path)
    assert shown.returncode == 2
    assert "is an Excel or ZIP file: save the sheet as CSV" in shown.stderr
