"""Words of those who log in."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # key: (English, Chinese)
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
    "needs.analyst": ("Analysts and admins can do more here.", "分析员和管理员可在此进行操作。"),
    "needs.admin": ("Only admins can do more here.", "仅管理员可在此进行操作。"),
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
}
