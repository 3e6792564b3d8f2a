"""Words of the page of rules."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "rules": ("Rules", "规则"),
    "rules.text": ("The rules in force, as TOML", "当前规则（TOML）"),
    "rules.help": (
        "They ring beside the detector. Try them on the stored news before you save; workers take them up within a minute. docs/guide.md",
        "与检测器并行报警。保存前可先在历史新闻上试算；保存后一分钟内生效。见 docs/guide.md",
    ),
    "rules.try": ("What would have rung?", "试算历史报警"),
    "rules.save": ("Save", "保存"),
    "rules.by": ("Written by {who}, {at}", "{who} 写于 {at}"),
    "rules.of_settings": (
        "From the file of the setting alert_rules; what is saved here takes its place",
        "来自设置 alert_rules 的文件；在此保存将取而代之",
    ),
    "rules.none": ("None yet: the detector rings alone", "尚无自定义规则，仅检测器报警"),
    "rules.away": ("Rules cannot be changed from here: this process has no store of its own", "此进程无法更改规则"),
    "rules.foreseen": ("{n} alerts in the last {days} days, of {stories} stories", "最近 {days} 天 {stories} 条报道中将触发 {n} 次报警"),
    "rules.kept": ("Saved. Workers take them up within a minute.", "已保存，一分钟内生效。"),
}
