"""Text as people read it: no tags, no entities, no control characters; nothing that carries meaning is lost.

Every rule here names what it removes. A rule that kept only what it knows would delete Chinese, as many tools do.
"""

from __future__ import annotations

import html
import re
import unicodedata

from core.records import Language

_TAGS = (
    "a|abbr|acronym|address|amp-img|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|div"
    "|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark"
    "|meta|nav|noscript|object|ol|option|p|param|picture|pre|q|s|section|select|small|source|span|strike|strong|style|sub|sup|svg|table"
    "|tbody|td|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
_INLINE = "a|abbr|acronym|b|big|cite|code|del|em|font|i|ins|label|mark|q|s|small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
"""Elements that do not end a word: '<b>银</b>行' is one word, '<p>银</p><p>行</p>' is two."""

_UNSEEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[|\]\]>|<(script|style|noscript|iframe|svg)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
"""What browsers do not show. Left open, it lasts to the end, as in a browser. No pattern looks further than it must: texts are hostile."""

_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_TAG = re.compile(rf"<(?=[a-z/!])(?:/?(?:{_TAGS}|script|\w+:\w+)(?:\s[^<>]*)?/?|!doctype[^<>]*)>", re.IGNORECASE)
"""Only the names of HTML elements count: 'PE<15 and ROE>20' is prose."""

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are no white space
    "\ud800-\udfff"  # halves of a pair: no text
    "\u00ad\u200b\u200e\u200f\u2060\ufeff"  # soft hyphen, zero width, marks of direction, byte order
    "\u202a-\u202e\u2066-\u2069"  # turning the reading direction: a way to disguise text
    "\ufdd0-\ufdef\ufffe\uffff\ufffd]"  # no characters, and the mark of a lost one
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")

LETTERS_PER_HAN = 3
"""One Han character says about as much as three Latin letters: '苹果 iPhone 17 Pro Max 发布' is Chinese."""


def clean(text: str) -> str:
    """Plain text in Unicode's normal form C, with each run of white space as one space; "" for nothing readable."""
    if "<" in text or "&" in text:
        text = _without_markup(text)
    if not text.isprintable() or "\ufffd" in text:
        text = _UNWANTED.sub("", text)
        text = " ".join(text.split())
    elif "  " in text:
        text = " ".join(text.split())
    else:
        text = text.strip(" ")
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _without_markup(text: str) -> str:
    """Tags out, entities decoded. Feeds often escape twice, so that tags appear only after decoding: those go too."""
    for _ in range(2):
        if "<" in text:
            text = _UNSEEN.sub(" ", text)
            text = _INLINE_TAG.sub("", text)
            text = _TAG.sub(" ", text)
        if "&" not in text:
            break
        decoded = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
        if decoded == text:
            break
        text = decoded
    if "<" in text:
        text = _TAG.sub(" ", _INLINE_TAG.sub("", _UNSEEN.sub(" ", text)))
    return text


def cut(text: str, limit: int) -> tuple[str, bool]:
    """At most `limit` characters of `text`, and whether some were cut off."""
    if len(text) <= limit:
        return text, False
    return text[:limit].rstrip(), True


def language(text: str) -> Language:
    """ "zh" when Han characters say at least as much as Latin letters do, else "en"; "en" for text with neither."""
    sample = text[:300]
    if sample.isascii():
        return "en"
    han = len(_HAN.findall(sample))
    return "zh" if han and han * LETTERS_PER_HAN >= len(_LATIN.findall(sample)) else "en"
