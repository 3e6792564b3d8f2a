"""Words around every page: header, status line, and where nothing is."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "tagline": ("News sentiment alarms", "新闻情绪警报"),
    "home": ("Overview", "总览"),
    "language": ("Language", "语言"),
    "theme": ("Light or dark", "浅色或深色"),
    "range": ("Time range", "时间范围"),
    "range.1h": ("1 h", "1 小时"),
    "range.6h": ("6 h", "6 小时"),
    "range.24h": ("24 h", "24 小时"),
    "range.7d": ("7 d", "7 天"),
    "range.30d": ("30 d", "30 天"),
    "zone": ("Times in {zone}", "时间：{zone}"),
    "skip": ("Skip to content", "跳到正文"),
    "status.connecting": ("connecting …", "连接中…"),
    "status.live": ("live", "实时"),
    "status.updated": ("updated {s} s ago", "{s} 秒前更新"),
    "status.stale": ("stale: no answer for {s} s", "数据停滞：{s} 秒无响应"),
    "status.store": ("store unreachable, trying again", "存储不可用，正在重试"),
    "status.aside": ("{n} records set aside", "{n} 条记录被搁置"),
    "status.aside.title": (
        "They could not be used, or had left Kafka unread: `tocsin dead-letters list` says why.",
        "这些记录无法使用，或在读取前已从 Kafka 中消失：`tocsin dead-letters list` 会说明原因。",
    ),
    "store.title": ("The store does not answer", "存储没有响应"),
    "store.body": (
        "What you see may be old. The page tries again every 2 seconds and recovers by itself.",
        "当前显示的内容可能已过时。页面每 2 秒自动重试，恢复后会自动更新。",
    ),
    "pages": ("Pages", "页面"),
    "loading": ("Loading …", "加载中…"),
    "missing.title": ("There is nothing here", "这里什么都没有"),
    "missing.page": ("No page has this address.", "没有该地址的页面。"),
    "missing.alert": (
        "No alert has this id. It may have been deleted, or the link was cut short.",
        "没有该编号的警报。它可能已被删除，或链接不完整。",
    ),
    "missing.back": ("Back to the overview", "返回总览"),
    "missing.article": (
        "No article with this id is stored. It may have left the store with its month, or the link was cut short.",
        "没有该编号的文章。它可能已随月份清除，或链接不完整。",
    ),
}
