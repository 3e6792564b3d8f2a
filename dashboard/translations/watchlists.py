"""Words of the page of watchlists."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "watchlists": ("Watchlists", "关注列表"),
    "watchlists.text": ("The team's watchlists, as TOML", "团队关注列表（TOML）"),
    "watchlists.help": (
        "Companies, topics and keywords that are followed as one series. Try them before you save; workers take them up within a minute,"
        " once they have their past. docs/guide.md",
        "公司、主题和关键词合为一个序列跟踪。保存前可先试匹配；补齐历史后一分钟内生效。见 docs/guide.md",
    ),
    "watchlists.try": ("What would they have matched?", "试匹配历史文章"),
    "watchlists.save": ("Save watchlists", "保存关注列表"),
    "watchlists.of_settings": (
        "From the file of the setting watchlists; what is saved here takes its place",
        "来自设置 watchlists 的文件；在此保存将取而代之",
    ),
    "watchlists.none": ("None yet", "尚无关注列表"),
    "watchlists.away": ("Watchlists cannot be changed from here: this process has no store of its own", "此进程无法更改关注列表"),
    "watchlists.tried": ("Of {read} articles of the last {hours} hours:", "最近 {hours} 小时的 {read} 篇文章中："),
    "watchlists.matched": ("{articles} articles, {negative} of them negative", "{articles} 篇，其中负面 {negative} 篇"),
    "watchlists.kept": (
        "Saved. Workers take them up when the next articles come, after they have read the past.",
        "已保存。读完历史后，随下一批文章生效。",
    ),
}
