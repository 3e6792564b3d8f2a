"""The Markdown of DingTalk and WeCom. Neither has a way to escape, so a mark is disarmed by a blank of no width after it. Pure."""

from __future__ import annotations

import re

from stream.delivery.formats.splitting import Piece

NOTHING = "\u200b"
"""A space of no width: people do not see it, and what it parts is no markup any more."""
_MARKS = re.compile(r"[\]<*`#]")
"""Where a link, a picture, a mention (<@somebody>), HTML, bold, code or a heading would be made."""
_IN_LINKS = str.maketrans("[]", "［］")
"""A bracket would end the words of a link."""


def plain(text: str) -> str:
    """The text so that it is shown as it is."""
    return _MARKS.sub(lambda found: found[0] + NOTHING, text)


def paragraph(piece: Piece) -> str:
    """The piece, as a link where it leads somewhere."""
    return f"[{plain(piece.text.translate(_IN_LINKS))}]({piece.url})" if piece.url else plain(piece.text)
