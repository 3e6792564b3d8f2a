"""The one namespace of everybody who can act: accounts, API tokens and the program itself.

Two names that look alike have the same key, and only one of them can exist. The audit log shows names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.errors import Conflict
from core.untrusted_text import normalize
from domain.alert_lifecycle import TOCSIN

RESERVED = (TOCSIN, "scheduler", "local", "command line")
"""Actors that are neither accounts nor tokens."""

_LOOK_ALIKES = (
    ("a", "аαɑ"), ("b", "ьƅ"), ("c", "сϲⅽ"), ("d", "ԁ"), ("e", "еҽє℮"), ("g", "ɡց"), ("h", "һհ"), ("i", "іιıɩӏ1l|ⅼǀ"), ("j", "јϳ"),
    ("k", "кκ"), ("m", "мⅿ"), ("n", "ոп"), ("o", "оοօσ0ဝ〇੦০๐໐۵"), ("p", "рρ"), ("q", "ԛզ"), ("r", "гᴦ"), ("s", "ѕꜱ"), ("t", "тτ"),
    ("u", "υսʋ"), ("v", "ѵν"), ("w", "ѡԝա"), ("x", "хχ×"), ("y", "уγү"), ("z", "ᴢ"), ("f", "ẝք"),
    ("-", "‐‑‒–—−ー一―"), (".", "․·・"), ("'", "’‘`´"), ("力", "カ"), ("工", "エ"), ("口", "ロ囗"), ("卜", "ト"), ("八", "ハ"),
    ("夕", "タ"), ("二", "ニ"), ("三", "ミ"), ("へ", "ヘ"), ("丶", "、"), ("日", "曰"), ("土", "士"), ("己", "已巳"), ("未", "末"),
    ("人", "入"), ("千", "干"), ("壬", "王"), ("戌", "戍戊"),
)  # fmt: skip
_TO_BASE = {ord(other): base for base, others in _LOOK_ALIKES for other in others}
"""Look-alikes of UTS 39 that remain after NFKC and case folding, and characters of Chinese that differ in one stroke."""
_MAX_CHARS = 1_000


def name_key(text: str) -> str:
    """The key of a name: NFKC, case folded, without invisible characters and spaces, look-alikes replaced by one of them."""
    folded = normalize("NFKC", normalize("NFKC", text[:_MAX_CHARS]).casefold())
    visible = "".join(char for char in folded if char.isprintable() and not char.isspace() and not 0xFE00 <= ord(char) <= 0xFE0F)
    return visible.translate(_TO_BASE).replace("rn", "m").replace("vv", "w")


def check_name_is_free(name: str, taken: Iterable[tuple[str, str]], *, reserved: Sequence[str] = RESERVED) -> None:
    """Check that nobody has this name or one that looks like it.

    Args:
        taken: kind ("account", "token") and name of everybody

    Raises:
        Conflict: names the one that has it
    """
    key = name_key(name)
    for kind, other in (*(("program", each) for each in reserved), *taken):
        if name_key(other) == key:
            like = "is the name of" if other == name else f"looks like {other!r}, the name of"
            raise Conflict(
                f"{name!r} {like} {'a part of the program' if kind == 'program' else f'an existing {kind}'}; choose another name"
            )
