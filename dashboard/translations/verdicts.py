"""Words of what people say of alerts: on the alert's page, and in the inbox's panel."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "verdict.title": ("Was this alert right?", "这条警报报得对吗？"),
    "verdict.help": ("Your last word counts; precision in the inbox is made of it", "以您最后一次评价为准；收件箱中的准确率由此得出"),
    "verdict.right": ("Useful", "有用"),
    "verdict.false": ("False alarm", "误报"),
    "verdict.late": ("Too late", "过晚"),
    "verdict.note": ("Why, if you like; then choose", "可先写明理由，再选择"),
    "verdict.nobody": ("Nobody has judged it yet.", "尚无人评价。"),
    "verdict.kept": ("Your judgement: {verdict}", "您的评价：{verdict}"),
    "precision": ("How often alerts were right", "警报准确率"),
    "precision.help": (
        "The share that people called useful among those they judged, with its 95 % interval; too late counts against",
        "已评价警报中被评为有用的比例及其 95% 区间；过晚不算有用",
    ),
    "precision.days": ("{n} days", "{n} 天"),
    "precision.no_alerts": ("No alert in the last {n} days.", "最近 {n} 天没有警报。"),
    "precision.judged": ("{judged} of {alerts} alerts were judged.", "{alerts} 条警报中已评价 {judged} 条。"),
    "precision.none": ("Judge an alert on its page, and its rule appears here.", "在警报页面作出评价后，此处会显示统计。"),
    "precision.whole": ("All alerts", "全部警报"),
    "precision.by.rule": ("By rule", "按规则"),
    "precision.by.kind": ("By kind of series", "按对象类型"),
    "precision.by.severity": ("By severity", "按级别"),
    "precision.alerts": ("Alerts", "警报"),
    "precision.judged_column": ("Judged", "已评价"),
    "precision.right": ("✓ Useful", "✓ 有用"),
    "precision.false": ("✗ False", "✗ 误报"),
    "precision.late": ("◷ Too late", "◷ 过晚"),
    "precision.share": ("Precision", "准确率"),
    "precision.interval": ("({low} to {high})", "（{low} 至 {high}，区间）"),
}
