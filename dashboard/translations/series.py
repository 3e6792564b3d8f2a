"""Words of one series."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "series.open": ("All about it", "查看详情"),
    "series.of": ("Sector: ", "板块："),
    "series.csv": ("Export CSV", "导出 CSV"),
    "series.trend": ("Negative stories", "负面报道"),
    "series.trend_help": (
        "In each window of {width}; the band is what is usual at that hour of the week, by the four weeks before",
        "每 {width} 窗口；色带为前四周同一时段的正常范围",
    ),
    "series.trend_short": (
        "In each window of {width}; its past is too short to say what is usual",
        "每 {width} 窗口；历史过短，无法给出正常范围",
    ),
    "series.usual": ("usual", "正常"),
    "series.band": ("usual range", "正常范围"),
    "series.volume": ("All its stories", "全部报道"),
    "series.alerts": ("Its alerts", "相关警报"),
    "series.no_alerts": ("No alert in this time range.", "该时间范围内没有警报。"),
    "series.negative": ("Negative stories", "负面报道"),
    "series.positive": ("Positive stories", "正面报道"),
    "series.stories_help": ("Copies are one story; what most sources tell comes first", "重复报道合为一条；来源最多的在前"),
    "series.no_stories": ("None in this time range.", "该时间范围内没有。"),
    "series.told": ("{articles} articles by {sources} sources, the last {moment}", "{sources} 个来源的 {articles} 篇，最近 {moment}"),
    "series.told_once": ("one article, {moment}", "1 篇，{moment}"),
    "series.beside": ("Companies named with it", "同时提到的公司"),
    "series.beside_help": ("By stories; in brackets the negative ones", "按报道数；括号内为负面"),
    "series.no_beside": ("No other company is named.", "没有提到其他公司。"),
    "series.articles": ("Its articles", "相关文章"),
}
