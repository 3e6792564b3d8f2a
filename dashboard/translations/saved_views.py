"""Words of the menu of saved views."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
    "views": ("Views", "视图"),
    "views.none": ("No view is saved yet", "尚无保存的视图"),
    "views.name": ("Save what you see as", "将当前视图保存为"),
    "views.team": ("For the whole team", "团队共享"),
    "views.save": ("Save view", "保存视图"),
    "views.saved": ("Saved", "已保存"),
    "views.dropped": ("Deleted", "已删除"),
    "views.drop": ("Delete the view {name}", "删除视图“{name}”"),
    "views.of_team": ("team · {who}", "团队 · {who}"),
    "views.wrong.name": ("Give it a name", "请填写名称"),
    "views.wrong.address": ("This address is too long to be kept", "该网址过长，无法保存"),
    "views.wrong.many": ("You have a hundred views: delete one first", "您已有一百个视图，请先删除一个"),
    "views.wrong.gone": ("It was deleted already", "该视图已被删除"),
    "views.wrong.others": ("It is somebody else's; an admin may delete those of the team", "这是他人的视图；团队视图可由管理员删除"),
}
