"""Texts of rules, watchlists and saved views."""

from __future__ import annotations

TEXTS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "rules": ("Rules", "规则"),
    "rules.text": ("Active rules (TOML)", "当前规则（TOML）"),
    "rules.help": (
        "Rules with fixed thresholds, in addition to the spike detector. Preview them on stored articles before you save them. "
        "Workers apply changes within a minute. Rules count articles that are relevant to prices (min_materiality, 0 to 1)."
        " See docs/guide.md",
        "固定阈值规则，与突增检测同时运行。保存前可用历史文章预览，保存后一分钟内生效。规则只统计与价格相关的文章，可用 min_materiality"
        "（0 至 1）单独设定下限。参见 docs/guide.md",
    ),
    "rules.try": ("Preview", "预览"),
    "rules.save": ("Save", "保存"),
    "rules.by": ("Saved by {actor}, {at}", "{actor} 保存于 {at}"),
    "rules.of_settings": (
        "From the file in the setting alert_rules. Rules that are saved here replace those of the file",
        "来自设置项 alert_rules 指定的文件；在此保存后，以保存的规则为准",
    ),
    "rules.none": ("No rules. Only the spike detector is active", "暂无自定义规则，仅突增检测生效"),
    "rules.away": ("Rules cannot be edited here because this process has no database", "此进程未连接数据库，无法编辑规则"),
    "rules.preview": (
        "{n} alerts in the last {days} days, from {stories} stories",
        "最近 {days} 天的 {stories} 条报道会触发 {n} 条告警",
    ),
    "rules.kept": ("Saved. Workers apply the change within a minute.", "已保存，一分钟内生效。"),
    "watchlists": ("Watchlists", "关注列表"),
    "watchlists.text": ("The team's watchlists (TOML)", "团队关注列表（TOML）"),
    "watchlists.help": (
        "Companies, topics and keywords that are tracked as one series. Preview them before you save them. Workers evaluate past"
        " articles first and then apply the change, within a minute. See docs/guide.md",
        "将公司、主题和关键词合并为一个监测对象。保存前可预览；保存后先补算历史文章，一分钟内生效。参见 docs/guide.md",
    ),
    "watchlists.try": ("Preview", "预览"),
    "watchlists.save": ("Save watchlists", "保存关注列表"),
    "watchlists.of_settings": (
        "From the file in the setting watchlists. Watchlists that are saved here replace those of the file",
        "来自设置项 watchlists 指定的文件；在此保存后，以保存的列表为准",
    ),
    "watchlists.none": ("No watchlists yet", "暂无关注列表"),
    "watchlists.away": (
        "Watchlists cannot be edited here because this process has no database",
        "此进程未连接数据库，无法编辑关注列表",
    ),
    "watchlists.tried": ("Matches in {read} articles of the last {hours} hours:", "最近 {hours} 小时 {read} 篇文章的匹配结果："),
    "watchlists.matched": ("{articles} articles, {negative} negative", "{articles} 篇，负面 {negative} 篇"),
    "watchlists.kept": (
        "Saved. Workers evaluate past articles first and then apply the change to new ones.",
        "已保存。历史文章补算完成后，从下一批新文章起生效。",
    ),
    "views": ("Views", "视图"),
    "views.none": ("No saved views", "暂无保存的视图"),
    "views.name": ("Save the current view as", "将当前视图保存为"),
    "views.team": ("Share with the team", "团队共享"),
    "views.save": ("Save view", "保存视图"),
    "views.saved": ("Saved", "已保存"),
    "views.dropped": ("Deleted", "已删除"),
    "views.drop": ("Delete the view {name}", "删除视图“{name}”"),
    "views.of_team": ("team · {actor}", "团队 · {actor}"),
    "views.wrong.name": ("Enter a name", "请填写名称"),
    "views.wrong.address": ("The address is too long to save", "网址过长，无法保存"),
    "views.wrong.many": ("You have reached the maximum of 100 views. Delete one first", "视图已达 100 个上限，请先删除一个"),
    "views.wrong.gone": ("The view has already been deleted", "该视图已被删除"),
    "views.wrong.others": (
        "This view belongs to another user. Admins can delete team views",
        "该视图属于其他用户；团队视图可由管理员删除",
    ),
}
