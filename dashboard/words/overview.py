"""Words of the overview."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "kpi.stories": ("Stories", "报道数"),
    "kpi.negative": ("Negative share", "负面占比"),
    "kpi.tone": ("Mean tone", "平均情绪"),
    "kpi.alerts": ("Open alerts", "未结警报"),
    "kpi.before": ("{change} vs. the period before", "较上一时段 {change}"),
    "kpi.nothing_before": ("the period before was not followed", "上一时段无数据"),
    "kpi.tone_scale": ("−1 all negative, +1 all positive", "−1 全负面，+1 全正面"),
    "kpi.alerts_age": ("not resolved yet", "尚未解除"),
    "kpi.stored": ("{articles} articles stored", "共存 {articles} 篇"),
    "mood": ("Mood per topic", "各主题情绪"),
    "mood.help": ("Mean tone of the articles in each window of {width}", "每 {width} 窗口内文章的平均情绪"),
    "mood.topics": ("Busiest topics", "最活跃主题"),
    "mood.choose": ("Choose up to {n} topics", "最多选择 {n} 个主题"),
    "heat": ("Topics × time", "主题 × 时间"),
    "heat.help": ("Blue: positive, orange: negative, busiest topic on top", "蓝色为正面，橙色为负面，最活跃的主题在上"),
    "volume": ("Story volume", "报道量"),
    "volume.help": (
        "Distinct stories in each window of {width}, and the share that is negative",
        "每 {width} 窗口内的独立报道数及负面占比",
    ),
    "volume.negative": ("Negative", "负面"),
    "volume.other": ("Other", "其他"),
    "volume.share": ("Negative share", "负面占比"),
    "articles": ("Latest articles", "最新文章"),
    "articles.none": ("No articles in this time range yet", "该时间范围内暂无文章"),
    "articles.csv": ("Export CSV", "导出 CSV"),
    "busiest": ("Talked about", "热议"),
    "busiest.help": ("Stories in this time range; in brackets the negative ones", "该时间范围内的报道数；括号内为负面"),
}
