"""Bytes to plain text: character encodings, then markup, entities and control characters.

    byte order mark ─▶ UTF-16/32 by its zero bytes ─▶ strict UTF-8 ─▶ declared encoding ─▶ chardet ─▶ BadRecord

A declared encoding is only used if the decoded text looks plausible: servers often declare a template's encoding. Cleaning
removes what its rules list and keeps everything else; rules that keep only known characters delete Chinese in many tools.
"""

from __future__ import annotations

import codecs
import html
import re

from core.errors import BadRecord
from core.records import Language
from core.untrusted_text import normalize

_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: it begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"\x84\x31\x95\x33", "gb18030"),
)
_WIDE = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "hz": "hz",
    "big5": "big5hkscs",
    "cp950": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "latin-1": "cp1252",
    "iso8859-9": "cp1254",
}
"""Declared names that stand for a wider encoding in practice; browsers do the same."""

_NO_CHARSETS = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "utf-7", "undefined"})
"""Python codecs that no page uses; some decode any bytes, even to lone surrogates."""

_SEVEN_BIT = frozenset({"iso2022_jp", "iso2022_kr", "hz"})
_DECLARED = re.compile(rb"""(?:<\?xml[^>]*?encoding|<meta[^>]*?charset)\s*=\s*["']?\s*([A-Za-z0-9_:.\-]{2,40})""", re.IGNORECASE)
_HIGH_RUN = re.compile(
    r"[\u0080-\u009f\u00a1-\u00ff\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2018-\u2022\u20ac\u2122]{4,}"
)
_ACCENTED = re.compile(r"[\u00c0-\u00ff]")
"""Four or more characters of the upper half of windows-1252 in a row, a third of them letters: a sign of wrongly decoded bytes, as no
European language has such runs. (Runs of bullets or no-break spaces are common.)"""

_HAN = re.compile("[\u4e00-\u9fff]")
_COMMON = frozenset(
    "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进"
    "着等部度家电力里如水化高自二理起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与关各"
    "重新线内数正心反你明看原又么利比或但质气第向道命此变条只没结解问意建月公无系军很情者最立代想已通并提直题党程展五果料位入常文总次品式活"
    "设及管特件长求老头基资边流路级少图山统接知较将组见计别她手期根论运指几九区强放决西被做必战先回则任取据处股市涨跌元亿万报收盘银行券价格"
    "企业务司上证深港美币率增降持续投融信息告布示预消费汽车科技能源油金"
    "這為個國時來們於對會發動過說產種後學經進著電裡現實體制機當點從業應開還樣與關數氣變條沒結問無係軍圖漲跌億萬報盤銀價務證幣續資訊"
)
"""Frequent characters, simplified and traditional: 60 to 80 % of Chinese text, a few per cent of wrongly decoded text."""


def decode(data: bytes, declared: str = "") -> str:
    """Decode a document.

    Args:
        data: the bytes.
        declared: charset of the Content-Type header, which takes precedence over the document's own; "" if absent.

    Raises:
        BadRecord: no encoding gives plausible text.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            text = data[len(mark) :].decode(name, "replace")
            return _accepted(text, name)
    for start, name in _WIDE:
        if data.startswith(start) and (wide := _strict(data, name)) is not None:
            return _accepted(wide, name)
    names = [known for known in map(_known, (declared, _declared_inside(data))) if known]
    if not any(name in _SEVEN_BIT for name in names):
        if (exact := _strict(data, "utf-8")) is not None:
            return _accepted(exact, "utf-8")
        text = data.decode("utf-8", "replace")
        lost, foreign = text.count("\ufffd"), _foreign(text)
        if 10 * lost <= foreign and lost <= max(1, 0.02 * foreign):
            return text  # truncated inside a character, or a stray byte
    for name in names:
        if (decoded := _lenient(data, name)) is not None and plausible(decoded):
            return decoded
    return _guessed(data, names)


def encoding_of(data: bytes) -> tuple[str, int]:
    """Python's name of the encoding of a document or of its beginning, and the length of its byte order mark.

    As `decode`, for texts that are decoded piece by piece; "utf-8" for ASCII.

    Raises:
        BadRecord: no encoding gives plausible text.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name, len(mark)
    if wide := _wide_encoding(data[:4_096]):
        return wide, 0
    text = data.decode("utf-8", "replace")
    lost, foreign = text[:-1].count("\ufffd"), _foreign(text)  # the beginning of a text may end inside a character
    if 10 * lost <= foreign and lost <= max(1, 0.02 * foreign):
        return "utf-8", 0
    return _guess(data, [])[0], 0


def _wide_encoding(head: bytes) -> str:
    """UTF-16 without a byte order mark, by the zero bytes of its ASCII characters; "" for another encoding."""
    head = head[: len(head) // 2 * 2]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < max(2, 0.005 * len(head)) or 4 * min(even, odd) >= max(even, odd):
        return ""
    if max(even, odd) < 0.1 * len(head) and _is_utf8(head):  # stray zero bytes: UTF-16 with so few of them is no UTF-8
        return ""
    name = "utf-16-le" if odd > even else "utf-16-be"
    text = _lenient(head, name) or ""
    return name if "\ufffd" not in text[:-1] and plausible(text[:-1]) else ""


def _is_utf8(head: bytes) -> bool:
    """Whether the beginning of a text, which may end inside a character, is valid UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _guessed(data: bytes, names: list[str]) -> str:
    return _guess(data, names)[1]


def _guess(data: bytes, names: list[str]) -> tuple[str, str]:
    """(encoding, text) by chardet, else a Chinese encoding; not one of `names`, which were tried. Raises BadRecord."""
    import chardet

    found = _known(str(chardet.detect(data[:200_000]).get("encoding") or ""))
    for name in (found, "gb18030", "big5hkscs"):
        if name and name not in names and (text := _lenient(data, name)) is not None and plausible(text):
            return name, text
    raise BadRecord(
        f"no encoding gives plausible text (declared: {', '.join(names) or 'none'}; guessed: {found or 'none'})", stage="charset"
    )


def plausible(text: str) -> bool:
    """Whether decoded text is plausible, judged by its non-ASCII characters.

    Three signs of a wrong encoding: replacement characters, long runs from the upper half of windows-1252, and Han characters
    that are nearly all rare.
    """
    foreign = _foreign(text)
    if not foreign:
        return True
    if text.count("\ufffd") > 0.02 * foreign:
        return False
    if _garbled(text) > 0.3 * foreign:
        return False
    han = _HAN.findall(text[:20_000])
    return len(han) < 12 or sum(char in _COMMON for char in han) >= 0.12 * len(han)


def _accepted(text: str, name: str) -> str:
    """Accept text of a likely encoding unless it is clearly garbled; repair text that was encoded twice."""
    if plausible(text):
        return text
    try:
        repaired = text.encode("cp1252").decode("utf-8")
    except UnicodeError:
        try:
            repaired = text.encode("latin-1").decode("utf-8")
        except UnicodeError:
            repaired = ""
    if repaired and plausible(repaired):
        return repaired
    if _garbled(text) or text.count("\ufffd") > 0.3 * _foreign(text):
        raise BadRecord(f"the text is garbled (decoded as {name})", stage="charset")
    return text  # rare Han characters in valid Unicode, such as a list of names


def _garbled(text: str) -> int:
    """Number of characters in runs that look like bytes decoded as windows-1252."""
    return sum(len(run) for run in _HIGH_RUN.findall(text) if 3 * len(_ACCENTED.findall(run)) >= len(run))


def _foreign(text: str) -> int:
    """Number of non-ASCII characters."""
    return 0 if text.isascii() else len(text) - len(text.encode("ascii", "ignore"))


def _known(name: str) -> str:
    """Python's name of the widest encoding that `name` stands for; "" if unknown."""
    try:
        normal = codecs.lookup(name.strip(" \"'").lower()).name if name else ""
    except (LookupError, ValueError):
        return ""
    return "" if normal.replace("_", "-") in _NO_CHARSETS else _WIDER.get(normal, normal)


def _declared_inside(data: bytes) -> str:
    found = _DECLARED.search(data[:2_048])
    return found.group(1).decode("ascii") if found else ""


def _strict(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _lenient(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name, "replace")
    except (UnicodeError, LookupError, TypeError, ValueError):
        return None  # codecs such as "hex" or "zlib" are not charsets


_TAGS = (
    "a|abbr|acronym|address|amp-img|article|aside|audio|b|big|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|del|div"
    "|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|h[1-6]|head|header|hr|html|i|iframe|img|input|ins|label|li|link|main|mark"
    "|meta|nav|noscript|object|ol|option|p|param|picture|pre|q|s|section|select|small|source|span|strike|strong|style|sub|sup|svg|table"
    "|tbody|td|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
_INLINE = "a|abbr|acronym|b|big|cite|code|del|em|font|i|ins|label|mark|q|s|small|span|strike|strong|sub|sup|time|tt|u|var|wbr"
"""Inline elements do not separate words: '<b>银</b>行' is one word, '<p>银</p><p>行</p>' is two."""

_UNSEEN = re.compile(
    r"<!--.*?(?:-->|\Z)|<!\[CDATA\[|\]\]>|<(script|style|noscript|iframe|svg)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
"""What browsers do not display; unclosed, it extends to the end. The pattern is linear in time, as texts are untrusted."""

_CAPTION = re.compile(r"<figcaption\b[^<>]{0,500}>.{0,3000}?</figcaption\s*>", re.IGNORECASE | re.DOTALL)
"""The caption of a picture, which is not the text of the article."""

_INLINE_TAG = re.compile(rf"</?(?:{_INLINE})(?:\s[^<>]*)?/?>", re.IGNORECASE)
_TAG = re.compile(rf"<(?=[a-z/!])(?:/?(?:{_TAGS}|script|\w+:\w+)(?:\s[^<>]*)?/?|!doctype[^<>]*)>", re.IGNORECASE)
"""Only known HTML element names match: 'PE<15 and ROE>20' is text."""

_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_UNWANTED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters other than white space
    "\ud800-\udfff"  # surrogates
    "\u00ad\u200b\u200e\u200f\u2060\ufeff"  # soft hyphen, zero width, direction marks, byte order mark
    "\u202a-\u202e\u2066-\u2069"  # direction overrides, which can disguise text
    "\ufdd0-\ufdef\ufffe\uffff\ufffd]"  # noncharacters and the replacement character
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")

LETTERS_PER_HAN = 3
"""One Han character weighs as much as three Latin letters: '苹果 iPhone 17 Pro Max 发布' is Chinese."""


def clean(text: str) -> str:
    """Plain text in Unicode normalization form C, with white space collapsed; "" if nothing is left."""
    if "<" in text or "&" in text:
        text = _without_markup(text)
    if not text.isprintable() or "\ufffd" in text:
        text = _UNWANTED.sub("", text)
        text = " ".join(text.split())
    elif "  " in text:
        text = " ".join(text.split())
    else:
        text = text.strip(" ")
    return text if text.isascii() else normalize("NFC", text)


def _without_markup(text: str) -> str:
    """Remove tags and decode entities. Twice, as many feeds are escaped twice and tags only appear after decoding."""
    for _ in range(2):
        if "<" in text:
            text = _CAPTION.sub(" ", _UNSEEN.sub(" ", text))
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
    """The first `limit` characters of `text`, and whether it was longer."""
    if len(text) <= limit:
        return text, False
    return text[:limit].rstrip(), True


def language(text: str) -> Language:
    """ "zh" if Han characters outweigh Latin letters (LETTERS_PER_HAN), else "en"; "en" for text with neither."""
    sample = text[:300]
    if sample.isascii():
        return "en"
    han = len(_HAN.findall(sample))
    return "zh" if han and han * LETTERS_PER_HAN >= len(_LATIN.findall(sample)) else "en"
