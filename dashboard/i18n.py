"""Every word of the dashboard, in English and Chinese, and how odds, times and sizes are said in each."""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from dashboard.words import PAGES
from spine.records import Language

LABELS: dict[str, tuple[str, str]] = {
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
    # who comes in
    "login.title": ("Log in", "登录"),
    "login.name": ("Name", "用户名"),
    "login.password": ("Password", "密码"),
    "login.go": ("Log in", "登录"),
    "login.wrong": ("Name or password is not right.", "用户名或密码不正确。"),
    "login.wait": ("Too many attempts. Try again in {s} s.", "尝试次数过多，请在 {s} 秒后重试。"),
    "login.wait_minutes": ("Too many attempts. Try again in {n} min.", "尝试次数过多，请在 {n} 分钟后重试。"),
    "login.store": ("The store does not answer. Try again in a moment.", "存储没有响应，请稍后重试。"),
    "login.nobody": (
        "Nobody has an account yet. `tocsin users add NAME --role admin` makes one.",
        "尚无任何账户。请运行 `tocsin users add NAME --role admin` 创建。",
    ),
    "logout": ("Log out", "退出登录"),
    "password.title": ("Change your password", "修改密码"),
    "password.must": (
        "Somebody else made the password that you have now. Choose one that only you know.",
        "当前密码由他人设定，请改为只有您知道的密码。",
    ),
    "password.old": ("Password now", "当前密码"),
    "password.new": ("New password", "新密码"),
    "password.again": ("New password again", "再次输入新密码"),
    "password.rule": ("{n} characters or more, in any language", "至少 {n} 个字符，任何语言均可"),
    "password.go": ("Change it", "修改"),
    "password.different": ("The two new passwords are not the same.", "两次输入的新密码不一致。"),
    "password.short": ("The new password has fewer than {n} characters.", "新密码少于 {n} 个字符。"),
    "password.long": ("The new password is too long.", "新密码过长。"),
    "password.simple": ("The new password repeats the same few characters.", "新密码只重复了少数几个字符。"),
    "password.name": ("The new password holds your name.", "新密码包含用户名。"),
    "password.same": ("The new password is the old one.", "新密码与当前密码相同。"),
    "person": ("{name}: change your password", "{name}：修改密码"),
    "role.viewer": ("viewer", "查看者"),
    "role.analyst": ("analyst", "分析员"),
    "role.admin": ("admin", "管理员"),
    # the status line
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
    # figures in words
    "kpi.stories": ("Stories", "报道数"),
    "kpi.negative": ("Negative share", "负面占比"),
    "kpi.tone": ("Mean tone", "平均情绪"),
    "kpi.alerts": ("Open alerts", "未结警报"),
    "kpi.before": ("{change} vs. the period before", "较上一时段 {change}"),
    "kpi.nothing_before": ("the period before was not followed", "上一时段无数据"),
    "kpi.tone_scale": ("−1 all negative, +1 all positive", "−1 全负面，+1 全正面"),
    "kpi.alerts_age": ("not resolved yet", "尚未解除"),
    "kpi.stored": ("{articles} articles stored", "共存 {articles} 篇"),
    "points": ("pp", "个百分点"),
    # alerts
    "alerts": ("Open alerts", "未结警报"),
    "alerts.none": ("Quiet: no alert is open.", "平静：没有未结警报。"),
    "alerts.more": ("and {n} more", "另有 {n} 条"),
    "alert": ("Alert", "警报"),
    "severity.watch": ("Watch", "关注"),
    "severity.urgent": ("Urgent", "紧急"),
    "severity.flash": ("Flash", "突发"),
    "kind.topic": ("topic", "主题"),
    "kind.company": ("company", "公司"),
    "kind.sector": ("sector", "板块"),
    "kind.market": ("market", "市场"),
    "kind.language": ("language", "语言"),
    "kind.genre": ("kind of source", "来源类型"),
    "kind.watchlist": ("watchlist", "关注列表"),
    "kind.source": ("source", "来源"),
    "observed": ("Observed", "实际"),
    "expected": ("Expected", "预期"),
    "alert.counts": ("{observed} negative stories, {expected} expected", "负面报道 {observed} 条，预期 {expected} 条"),
    "counts.negative_share": ("{value} of {n} stories negative", "{n} 条报道中 {value} 为负面"),
    "counts.mean_tone": ("mean tone {value} over {n} stories", "{n} 条报道的平均情绪为 {value}"),
    "counts.volume": ("{value} stories", "共 {value} 条报道"),
    "counts.risk_event": ("{event}, {value} likely", "{event}，概率 {value}"),
    "limit.negative_share": ("rings over {limit}", "高于 {limit} 时触发"),
    "limit.mean_tone": ("rings below {limit}", "低于 {limit} 时触发"),
    "limit.volume": ("rings from {limit} on", "达到 {limit} 条时触发"),
    "limit.risk_event": ("rings from {limit} on", "概率达到 {limit} 时触发"),
    "alert.measured": ("Measured", "实测"),
    "alert.limit": ("The rule", "规则条件"),
    "alert.negative": ("Negative stories", "负面报道"),
    "alert.sources": ("{n} independent sources", "{n} 个独立来源"),
    "odds": ("1 in {n} by chance", "偶然概率约 1/{n}"),
    "odds.never": ("less than 1 in a trillion by chance", "偶然概率不足万亿分之一"),
    "odds.likely": ("well within chance", "属于偶然波动"),
    "ago.now": ("just now", "刚刚"),
    "ago.minutes": ("{n} min ago", "{n} 分钟前"),
    "ago.hours": ("{n} h ago", "{n} 小时前"),
    "ago.days": ("{n} d ago", "{n} 天前"),
    # the inbox, and what people do
    "pages": ("Pages", "页面"),
    "inbox": ("Alerts", "警报"),
    "inbox.alerts": ("Alerts of the last 31 days", "最近 31 天的警报"),
    "inbox.help": (
        "An alert resolves by itself when its series has calmed down, or when somebody resolves it",
        "序列恢复平静后警报自动解除，也可由人工解除",
    ),
    "inbox.states": ("Which alerts", "显示哪些警报"),
    "inbox.open": ("Open", "未结"),
    "inbox.resolved": ("Resolved", "已解除"),
    "inbox.all": ("All", "全部"),
    "inbox.none.open": ("Quiet: no alert is open.", "平静：没有未结警报。"),
    "inbox.none.resolved": ("No alert was resolved in the last 31 days.", "最近 31 天没有已解除的警报。"),
    "inbox.none.all": ("No alert in the last 31 days.", "最近 31 天没有警报。"),
    "inbox.more": ("and {n} more; the command `tocsin alerts list` shows all", "另有 {n} 条；命令 `tocsin alerts list` 可列出全部"),
    "inbox.state": ("State", "状态"),
    "inbox.severity": ("Severity", "级别"),
    "inbox.series": ("Series", "对象"),
    "inbox.counts": ("What was seen", "所见"),
    "inbox.detected": ("Raised", "触发"),
    "inbox.assignee": ("With", "处理人"),
    "inbox.muted": ("not delivered", "不推送"),
    "state.pending": ("Pending", "待定"),
    "state.firing": ("Firing", "报警中"),
    "state.acknowledged": ("Acknowledged", "已确认"),
    "state.resolved": ("Resolved", "已解除"),
    "action.title": ("What became of it", "处理情况"),
    "action.acknowledge": ("Acknowledge", "确认"),
    "action.unacknowledge": ("Take back", "撤回确认"),
    "action.resolve": ("Resolve", "解除"),
    "action.reopen": ("Reopen", "重新打开"),
    "action.note": ("Add note", "添加备注"),
    "action.assign": ("Assign", "指派"),
    "action.silence": ("Silence series", "静默该对象"),
    "action.words": ("A note, or the name of who takes it", "备注内容，或负责人姓名"),
    "action.reason": ("Why nobody needs to hear of this series for a while", "静默的原因"),
    "action.span": ("For how long", "时长"),
    "action.span.1h": ("1 hour", "1 小时"),
    "action.span.4h": ("4 hours", "4 小时"),
    "action.span.1d": ("1 day", "1 天"),
    "action.span.1w": ("1 week", "1 周"),
    "action.assigned_to": ("with ", "处理人："),
    "action.silenced": ("Silenced by {who} until {until}: {why}", "{who} 已静默至 {until}：{why}"),
    "action.inhibited": ("Not delivered: another alert speaks for it: ", "不推送，由另一警报代表："),
    "action.withheld": ("{at}: not sent to {endpoint}: {why}", "{at}：未推送至 {endpoint}：{why}"),
    "action.nothing": ("Nobody has done anything yet.", "尚无人处理。"),
    "action.done": ("Done: {did}", "完成：{did}"),
    "action.silence_made": ("No alert on {series} is delivered until {until}", "{until} 前不推送 {series} 的警报"),
    "event.acknowledged": ("acknowledged it", "确认了警报"),
    "event.unacknowledged": ("took the acknowledgement back", "撤回了确认"),
    "event.assigned": ("assigned it to", "指派给"),
    "event.note": ("noted", "备注"),
    "event.resolved": ("resolved it", "解除了警报"),
    "event.reopened": ("reopened it", "重新打开了警报"),
    # charts
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
    "stories": ("stories", "条报道"),
    "empty": ("No articles in this time range yet", "该时间范围内暂无文章"),
    "loading": ("Loading …", "加载中…"),
    "width.minutes": ("{n} min", "{n} 分钟"),
    "width.hours": ("{n} h", "{n} 小时"),
    "sentiment.negative": ("negative", "负面"),
    "sentiment.neutral": ("neutral", "中性"),
    "sentiment.positive": ("positive", "正面"),
    # articles
    "articles": ("Latest articles", "最新文章"),
    "articles.none": ("No articles in this time range yet", "该时间范围内暂无文章"),
    "articles.csv": ("Export CSV", "导出 CSV"),
    "column.time": ("Time", "时间"),
    "column.source": ("Source", "来源"),
    "column.language": ("Lang.", "语言"),
    "column.title": ("Title", "标题"),
    "column.topics": ("Topics", "主题"),
    "column.companies": ("Companies", "公司"),
    "column.sentiment": ("Sentiment", "情绪"),
    "column.url": ("Link", "链接"),
    "column.probability": ("Probability", "概率"),
    # one alert
    "alert.why": ("Why it rang", "为何报警"),
    "alert.window": ("Window", "窗口"),
    "alert.window_of": ("{start} to {end}", "{start} 至 {end}"),
    "alert.detected": ("Detected", "检出时间"),
    "alert.surprise": ("Odds", "偶然概率"),
    "alert.total": ("Stories of any sentiment", "全部报道"),
    "alert.silent_for": ("Silent for", "沉默时长"),
    "alert.last_article": ("Last article", "最近文章"),
    "alert.rule": ("Rule", "规则"),
    "alert.id": ("Alert id", "警报编号"),
    "alert.sentence": (
        "{name}: {observed} negative stories in {width}, where its own past suggests {expected}. That is {odds}.",
        "{name}：{width}内出现 {observed} 条负面报道，按自身历史预期为 {expected} 条；{odds}。",
    ),
    "why.carried": ("Carried by", "关键报道"),
    "why.carried_of": ("{n} of {stories} stories: without them it would not have rung", "{stories} 条中的 {n} 条：缺了它们就不会报警"),
    "why.first": ("First told by", "最早报道"),
    "why.words": ("Words", "关键词"),
    "why.companies": ("Companies", "涉及公司"),
    "why.read": ("(of the {n} most negative stories)", "（最负面的 {n} 条）"),
    "why.stories": ("in {n} stories", "出现在 {n} 条报道中"),
    "why.needed": ("needed", "关键"),
    "why.needed_help": ("Without the stories marked so it would not have rung", "缺了带此标记的报道就不会报警"),
    "alert.sentence.level": ("{name}: {counts} in {width}; the rule {limit}.", "{name}：{width}内{counts}；规则{limit}。"),
    "alert.silence": ("{name} is silent: {words}.", "{name}沉默：{words}。"),
    "alert.chart": ("Around the window", "窗口前后"),
    "alert.chart_help": (
        "Negative and other stories of this series; the window that rang is shaded",
        "该序列的负面与其他报道；阴影为报警窗口",
    ),
    "alert.expected_line": ("expected in the window: {n}", "窗口预期：{n}"),
    "alert.evidence": ("Evidence", "证据"),
    "alert.evidence_help": ("Articles that the alert was raised on, those that carry it first", "触发警报的文章，关键报道在前"),
    "alert.evidence_help.level": ("Articles that the rule looked at", "规则所依据的文章"),
    "alert.no_evidence": ("No evidence was kept with this alert.", "该警报没有保存证据。"),
    "alert.more_articles": ("Other articles of the window", "窗口内的其他文章"),
    "alert.deliveries": ("Deliveries", "推送记录"),
    "alert.no_deliveries": (
        "Nobody was told: no webhook is configured, or none was tried yet.",
        "尚未推送：没有配置 webhook，或还未尝试。",
    ),
    "delivery.endpoint": ("Endpoint", "端点"),
    "delivery.attempt": ("Attempt", "次数"),
    "delivery.sent": ("Sent", "时间"),
    "delivery.result": ("Result", "结果"),
    "delivery.taken": ("✓ delivered ({status})", "✓ 已送达（{status}）"),
    "delivery.refused": ("✗ {status} {error}", "✗ {status} {error}"),
    "delivery.no_answer": ("no answer", "无响应"),
    # nothing there
    "missing.title": ("There is nothing here", "这里什么都没有"),
    "missing.page": ("No page has this address.", "没有该地址的页面。"),
    "missing.alert": (
        "No alert has this id. It may have been deleted, or the link was cut short.",
        "没有该编号的警报。它可能已被删除，或链接不完整。",
    ),
    "missing.back": ("Back to the overview", "返回总览"),
} | PAGES

GRID_ZH: dict[str, str] = {
    "noRowsToShow": "暂无文章",
    "loadingOoo": "加载中…",
    "filterOoo": "筛选…",
    "contains": "包含",
    "notContains": "不包含",
    "equals": "等于",
    "notEqual": "不等于",
    "startsWith": "开头为",
    "endsWith": "结尾为",
    "blank": "为空",
    "notBlank": "不为空",
    "andCondition": "且",
    "orCondition": "或",
    "applyFilter": "应用",
    "resetFilter": "重置",
    "clearFilter": "清除",
    "ariaColumnFiltered": "已筛选",
}
"""ag-grid's own words, as far as the page shows them."""

CHART_ZH: dict[str, Any] = {
    "dictionary": {
        "Autoscale": "自动缩放",
        "Reset axes": "重置",
        "Zoom": "缩放",
        "Pan": "平移",
        "Zoom in": "放大",
        "Zoom out": "缩小",
        "Double-click to zoom back out": "双击恢复",
        "Download plot as a PNG": "下载为 PNG",
        "Download plot as a png": "下载为 PNG",
        "Double-click on legend to isolate one trace": "双击图例只看一条",
    },
    "format": {
        "days": ["星期日", "星期一", "星期二", "星期三", "星期四", "星期五", "星期六"],
        "shortDays": ["周日", "周一", "周二", "周三", "周四", "周五", "周六"],
        "months": [f"{month}月" for month in range(1, 13)],
        "shortMonths": [f"{month}月" for month in range(1, 13)],
        "date": "%Y-%m-%d",
    },
}
"""plotly's own words, handed to each chart: nothing is loaded for them."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SCALES = {"en": ((1e9, "billion"), (1e6, "million")), "zh": ((1e8, "亿"), (1e4, "万"))}


def text(key: str, language: Language, **values: object) -> str:
    """The words of `key` in `language`. Raises KeyError for a key that is not in the table."""
    words = LABELS[key][1 if language == "zh" else 0]
    return words.format(**values) if values else words


def number(value: float, language: Language) -> str:
    """Two significant digits, in words where they are long: 21,000 or "2.1万", "3.4 million"."""
    if value >= 10:
        digits = len(str(int(value))) - 2
        value = round(value / 10**digits) * 10**digits
    for scale, name in _SCALES[language]:
        if value >= scale:
            scaled = value / scale
            said = f"{scaled:.2g}" if scaled < 100 else f"{scaled:,.0f}"
            return f"{said} {name}" if language == "en" else said + name
    return f"{value:,.0f}"


def odds(surprise: float, language: Language) -> str:
    """A surprise (-log10 p) in words: 4 is "1 in 10,000 by chance". Not a number, or below 0.3 (1 in 2): within chance."""
    if not surprise >= 0.3:
        return text("odds.likely", language)
    if surprise > 12:
        return text("odds.never", language)
    return text("odds", language, n=number(10**surprise, language))


def decimal(value: float) -> str:
    """An expected count: one decimal, two below 1."""
    return f"{value:.2f}" if value < 1 else f"{value:,.1f}"


def when(moment: datetime, tz: tzinfo, language: Language) -> str:
    """Day and minute in the viewer's zone: "22 Nov 14:05", "11月22日 14:05"."""
    local = moment.astimezone(tz)
    if language == "zh":
        return f"{local.month}月{local.day}日 {local:%H:%M}"
    return f"{local.day} {_MONTHS[local.month - 1]} {local:%H:%M}"


def clock(moment: datetime, tz: tzinfo) -> str:
    """Sortable and the same in both languages: "2026-11-22 14:05"."""
    return f"{moment.astimezone(tz):%Y-%m-%d %H:%M}"


def ago(moment: datetime, now: datetime, language: Language) -> str:
    """How long ago, in the largest unit that fits; what lies ahead is "just now"."""
    minutes = int((now - moment).total_seconds() // 60)
    if minutes < 1:
        return text("ago.now", language)
    if minutes < 60:
        return text("ago.minutes", language, n=minutes)
    if minutes < 48 * 60:
        return text("ago.hours", language, n=minutes // 60)
    return text("ago.days", language, n=minutes // (24 * 60))


def width(seconds: int, language: Language) -> str:
    """How wide a window is: "15 min", "3 h"."""
    if seconds >= 3600 and seconds % 3600 == 0:
        return text("width.hours", language, n=seconds // 3600)
    return text("width.minutes", language, n=max(1, seconds // 60))


def zone_label(tz: tzinfo, now: datetime) -> str:
    """A zone as people know it: its name and its distance from UTC at `now`."""
    local = now.astimezone(tz)
    minutes = int((local.utcoffset() or now.utcoffset() or now - now).total_seconds() // 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    offset = f"UTC{'+' if minutes > 0 else '−'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"{tz} ({offset})"
