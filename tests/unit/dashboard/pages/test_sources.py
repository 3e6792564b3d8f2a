"""The page of sources: what is removed from the texts of a source, and a warning where its sentiment stands out, in both languages."""

from __future__ import annotations

import msgspec
import pytest

from core.records import Language
from dashboard.pages.sources import counted, table
from dashboard.reads.operations import SourcesView
from dashboard.reads.source_state import HOURS, SourceView
from dashboard.view import View
from stats.source_shares import ShareCount, compare_sources
from storage.store import StoredRepeat
from tests.helpers.dashboard import NOW, words_of

COUNTS = [
    ShareCount("阴云财经", "zh", 200, 200),
    ShareCount("plain", "zh", 300, 90),
    ShareCount("usual", "zh", 300, 96),
    ShareCount("few", "zh", 9, 9),
]


def source(name: str) -> SourceView:
    shares = [share for share in compare_sources(COUNTS) if share.source == name]
    return SourceView(
        name=name,
        visit=None,
        added=None,
        hours=[4] * HOURS,
        usual=[],
        last_at=NOW,
        stored_at=NOW,
        lag_s=None,
        recent=300,
        negative=90,
        dead=0,
        outage_alert_id="",
        state="ok",
        sentiment={"24h": [], "7d": shares},
    )


def page(*rows: SourceView, language: Language = "en") -> str:
    found, view = SourcesView(rows=list(rows), outage_alert_id=""), View(language=language)
    return words_of([counted(found, view), table(found, NOW, view)])


@pytest.mark.parametrize(
    ("language", "warning", "count"),
    [
        ("en", "stands out in 7 d: 100% negative, others 32%", "1 with unusual sentiment"),
        ("zh", "7 天情绪偏离同类：负面 100%，其他来源 32%", "1 个来源情绪偏离同类"),
    ],
)
def test_a_source_that_stands_out_has_a_warning(language: Language, warning: str, count: str):
    shown = page(source("阴云财经"), source("plain"), source("few"), language=language)
    assert shown.count(warning) == 1 and count in shown
    without = page(source("plain"), source("few"), language=language)
    assert warning[:10] not in without and count[2:] not in without


def test_the_share_has_its_interval_and_that_of_the_others():
    shown = page(source("plain"))
    assert "7 d: 30% (25% to 35%)" in shown and "200 of" not in shown and "of 300 articles are negative" in shown
    assert "others 34%" in shown and "others 31%" in page(source("few"))


@pytest.mark.parametrize(
    ("language", "label"), [("en", "Boilerplate that the model does not read (4)"), ("zh", "模型不读取的固定文字（4）")]
)
def test_removed_boilerplate_is_shown_with_its_share_as_plain_text(language: Language, label: str):
    texts = ["北方社5月18日电，", "<script>alert(1)</script>\u202e", "（北方日报）", "| Farhill Online"]
    repeats = [
        StoredRepeat(source="plain", place="start", text=text, example=text, texts=90 - 20 * n, total=100, at=NOW)
        for n, text in enumerate(texts)
    ]
    shown = page(msgspec.structs.replace(source("plain"), boilerplate=repeats[::-1]), language=language)
    assert label in shown and "\u202e" not in shown
    places = [shown.index(part) for part in ("北方社5月18日电，", " 90%", " 70%", "（北方日报）", " 50%", "+1", "| Farhill Online", " 30%")]
    assert places == sorted(places)
    assert label not in page(source("plain"), language=language)
