"""Find listed companies in texts by their names and codes in both languages.

    text ─▶ folded spelling ─▶ codes, and the longest name at each place ─▶ word boundaries, context ─▶ one Mention per company

English names match whole words, Chinese names where they are words (`word_boundaries`). `exact` names are case-sensitive ("Apple", not
"apple"), `common` names count unless their context speaks against the company ("Visa rules"), `weak` names count only if something
speaks for it (`context`); `unless` lists longer phrases in which a name means something else ("苹果期货").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from core.errors import SettingsError
from core.records import Mention, Role
from core.untrusted_text import normalize
from ingest.companies.beginnings import PAIR, Beginnings
from ingest.companies.codes import Code, find_codes, is_listed, share_code
from ingest.companies.context import (
    Verdict,
    chinese_context,
    english_context,
    is_compound,
    is_end_of_name,
    is_title_case,
    is_venue,
    longer_body,
)
from ingest.companies.roles import COMPARISON, SUBJECT, may_speak, role_at
from ingest.companies.word_boundaries import is_word
from ingest.text.folding import fold, lower

__all__ = ["SECTORS", "Company", "Gazetteer", "plain_name", "share_code", "without_form"]

SECTORS = (
    "banks", "insurance", "real_estate", "technology", "semiconductors", "internet", "energy", "autos", "consumer", "health", "industrials",
    "materials", "telecom", "utilities", "media", "transport",
)  # fmt: skip
SHORT_CHARS = 4
"""English names up to this length are case-sensitive: 'GM', 'Nio', 'Arm'."""

_FORM_EN = re.compile(
    r"(?:[\s,]+(?:inc|corp|corporation|co|company|companies|ltd|limited|plc|n\.?v|s\.?a|ag|se|llc|l\.?p)\b\.?)+$", re.IGNORECASE
)
_FORM_ZH = re.compile(r"(?:股份)?(?:有限(?:责任)?公司)$")
_GENERIC_END = re.compile(
    r"(?:银行|电信|移动|联通|证券|保险|人寿|平安|石油|石化|化工|化学|航空|航天|汽车|电影|黄金|稀土|医药|软件|卫星|建筑|核电|船舶|出版|动力|铝业|煤炭|能源|"
    r"电力|传媒|机场|旅游|通信|电子|半导体|地产|食品|银河|中免|国贸|长城|医疗|生物|钢铁|港口|科技|信托|期货|重工|农业|环保|水务|燃气|物流|铁路|高速|高新|高科|交易所|交所)$"
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_ENGLISH_WORD = re.compile(r"[a-z0-9][a-z0-9]*")
_SPACED = re.compile(r"(?<![\u4e00-\u9fff])([\u4e00-\u9fff]{1,3})[ ](?=[\u4e00-\u9fffa-z])")
_SPACE_WITHIN = re.compile(r"[\u4e00-\u9fff][ ][\u4e00-\u9fffa-z]")
_EDGE = re.compile(r"[a-z0-9]")
_LIST_GAP = re.compile(r"[、/，,和及与&]\s?|, and | and | & ")
MAX_GAP_CHARS = 5
"""Longest text between two companies of an enumeration."""

FURTHER_CHARS = 2
"""An English name is found by its first word and so many characters after it."""

STRONG, EXACT, COMMON, WEAK, PHRASE = range(5)
"""Kinds of names: any case; as written; unless the context speaks against it; only if something speaks for it; not a company."""


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed company: a [[companies]] table.

    sector: one of SECTORS, or "" if unknown
    common: those of its names that are also ordinary words, persons or places; they count unless the context speaks against them
    weak: names that are mostly something else; they count only if the context speaks for the company
    """

    key: Annotated[str, Meta(pattern=r"^[A-Z0-9.\-]{1,20}$", description="its main listing: AAPL, 00700.HK, 600519.SH, SAP.DE, 7203.T")]
    name_en: Annotated[str, Meta(min_length=1)]
    name_zh: Annotated[str, Meta(min_length=1)]
    sector: str
    aliases: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    common: tuple[str, ...] = ()


class _Name(NamedTuple):
    """A name of a company ("" for a phrase). spellings: those that count, if not every case does"""

    key: str
    kind: int
    spellings: frozenset[str]
    chinese: bool
    generic: bool


class _Found(NamedTuple):
    """A name or code at [start, end) of the text."""

    start: int
    end: int
    key: str
    name: _Name | None
    verdict: Verdict


class Gazetteer:
    """Finds companies. Unchanged after construction but for caches, so thread safe."""

    def __init__(self, companies: Iterable[Company]) -> None:
        self.companies = {company.key: company for company in companies}
        self._by_code: dict[str, Company] = {}
        self._names: dict[str, _Name] = {}
        self._speaking: dict[str, bool] = {}
        for company in self.companies.values():
            self._add(company)
        english: dict[str, set[int]] = {}
        chinese: dict[str, set[int]] = {}
        for alias in self._names:
            if _CHINESE.match(alias):
                chinese.setdefault(alias[: PAIR + 1], set()).add(len(alias))
            else:
                word = found.end() if (found := _ENGLISH_WORD.match(alias)) else 1
                english.setdefault(alias[:word], set())
                english.setdefault(alias[: word + FURTHER_CHARS], set()).add(len(alias))
        self._english_lengths = {head: _longest_first(lengths) for head, lengths in english.items()}
        self._chinese_lengths = {head: _longest_first(lengths | chinese.get(head[:PAIR], set())) for head, lengths in chinese.items()}
        self._beginnings = Beginnings({head[:PAIR] for head in chinese})

    def _add(self, company: Company) -> None:
        for code in (company.key, *company.codes):
            self._by_code[code] = company
        for phrase in company.unless:
            self._names[_folded(phrase)] = _Name("", PHRASE, frozenset(), _CHINESE.search(phrase) is not None, False)
        common, weak = set(company.common), set(company.weak)
        for alias in dict.fromkeys((*company.common, *company.exact, *company.weak, *_names_of(company))):
            if alias in weak:
                kind = WEAK
            elif alias in common:
                kind = COMMON
            elif alias in company.exact or (alias.isascii() and len(alias) <= SHORT_CHARS):
                kind = EXACT
            else:
                kind = STRONG
            self._add_name(alias, company.key, kind)

    def _add_name(self, alias: str, key: str, kind: int) -> None:
        low = _folded(alias)
        chinese = _CHINESE.search(alias) is not None
        known = self._names.get(low)
        if known is not None and known.key not in ("", key):
            if kind == WEAK:
                return
            if known.kind != WEAK:
                raise SettingsError(f"companies: {alias!r} names both {known.key} and {key}")
            known = None
        if known is not None and known.kind != PHRASE:
            self._names[low] = known._replace(spellings=known.spellings | {alias} if known.spellings else known.spellings)
            return
        spellings = frozenset() if kind == STRONG or chinese else frozenset({alias})
        self._names[low] = _Name(key, kind, spellings, chinese, chinese and _GENERIC_END.search(alias) is not None)

    def mentions(self, text: str, given: Sequence[tuple[str, str]] = ()) -> tuple[Mention, ...]:
        """Find the companies in `text`.

        Args:
            text: title and text of an article.
            given: (code, name) pairs attached by the source; codes of funds and indexes are ignored.

        Returns:
            Each company once, with its first surface form, in order of appearance; then those of `given`.
        """
        folded = fold(text)
        low = lower(folded)
        attached = [(key, name) for code, name in given if (key := share_code(code))] if given else []
        sure = {known.key for key, _ in attached if (known := self._by_code.get(key)) is not None}
        places: dict[str, list[_Found]] = {}
        for each in self._accepted(folded, low, sure):
            places.setdefault(each.key, []).append(each)
        found: dict[str, Mention] = {}
        for key, mine in places.items():
            first = mine[0] if mine[0].name is not None else next((each for each in mine if each.name is not None), mine[0])
            known = self.companies.get(key)
            sector = known.sector if known is not None else ""
            found[key] = Mention(company=key, surface=text[first.start : first.end][:200], sector=sector, role=self._role(low, mine))
        for key, name in attached:
            known = self._by_code.get(key)
            if known is not None:
                found.setdefault(known.key, Mention(company=known.key, surface=(name or known.name_en)[:200], sector=known.sector))
            else:
                found.setdefault(key, Mention(company=key, surface=(name or key)[:200]))
        return tuple(found.values())

    def _accepted(self, folded: str, low: str, sure: set[str]) -> list[_Found]:
        """The names and codes that mean a company, by place. sure: companies that are known to be meant"""
        codes = list(find_codes(folded, self._by_code.__contains__))
        candidates = self._candidates(folded, low)
        if not codes and all(each.verdict == "for" for each in candidates):
            return candidates
        bracketed = [self._of_code(folded, code) for code in codes if not code.sure]
        candidates += [self._of_code(folded, code) for code in codes if code.sure]
        candidates.sort(key=lambda each: (each.start, -each.end))
        certain = [each for each in candidates if each.verdict == "for"]
        sure = sure | {each.key for each in certain}
        sure |= {code.key for code in bracketed if any(each.key == code.key and 0 <= code.start - each.end <= 12 for each in candidates)}
        kept: list[_Found] = []
        for place, each in enumerate(candidates):
            if kept and each.start < kept[-1].end and each.name is not None:
                continue
            if each.verdict == "for" or each.key in sure or self._in_list(low, candidates, place, sure):
                kept.append(each)
        return kept

    def _of_code(self, folded: str, code: Code) -> _Found:
        known = self._by_code.get(code.key)
        return _Found(code.start, code.end, known.key if known is not None else code.key, None, "for")

    def _in_list(self, low: str, candidates: Sequence[_Found], place: int, sure: set[str]) -> bool:
        """Whether a candidate stands beside a company that is certain, in an enumeration."""
        each = candidates[place]
        for other in candidates[max(0, place - 2) : place + 3]:
            if other.key != each.key and other.key in sure:
                gap = low[min(each.end, other.end) : max(each.start, other.start)]
                if len(gap) <= MAX_GAP_CHARS and _LIST_GAP.fullmatch(gap):
                    return True
        return False

    def _candidates(self, folded: str, low: str) -> list[_Found]:
        """Names of companies, longest first at each place, without those that are something else."""
        found: list[_Found] = []
        lengths, end = self._english_lengths, 0
        starts: list[tuple[int, tuple[int, ...]]] = []
        for word in _ENGLISH_WORD.finditer(low):
            alone = lengths.get(word[0])
            if alone is not None:
                starts.append((word.start(), lengths.get(low[word.start() : word.end() + FURTHER_CHARS], ()) + alone))
        if not low.isascii():
            heads = self._chinese_lengths
            for place in self._beginnings.find(low):
                tried = heads.get(low[place : place + 3]) or heads.get(low[place : place + 2])
                if tried:
                    starts.append((place, tried))
            starts.sort()
        for start, tried in starts:
            if start < end:
                continue
            for length in tried:
                stop = start + length
                name = self._names.get(low[start:stop]) if stop <= len(low) else None
                if name is None or (not name.chinese and _EDGE.match(low, stop) and _EDGE.match(low, stop - 1)):
                    continue
                if name.kind == PHRASE:
                    end = stop
                    break
                verdict = self._chinese(low, start, stop, name) if name.chinese else self._english(folded, start, stop, name)
                if verdict != "against":
                    found.append(_Found(start, stop, name.key, name, verdict))
                    end = stop
                    break
        if _SPACE_WITHIN.search(low):
            found = sorted({each.start: each for each in (*self._spaced(low), *found)}.values(), key=lambda each: each.start)
        return found

    def _spaced(self, low: str) -> list[_Found]:
        """Chinese names that are written with spaces: 五 粮 液."""
        found = []
        for place in _SPACED.finditer(low):
            window = low[place.start() : place.start() + 24]
            plain = window.replace(" ", "")
            for length in self._chinese_lengths.get(plain[:3]) or self._chinese_lengths.get(plain[:2]) or ():
                name = self._names.get(plain[:length])
                if name is None or name.kind == PHRASE or not len(place[1]) < length <= len(plain):
                    continue
                at = -1
                for _ in range(length):
                    at = next(i for i in range(at + 1, len(window)) if window[i] != " ")
                if is_word(plain, 0, length):
                    verdict: Verdict = "open" if name.kind == WEAK else "for"
                    found.append(_Found(place.start(), place.start() + at + 1, name.key, name, verdict))
                    break
        return found

    @staticmethod
    def _chinese(low: str, start: int, end: int, name: _Name) -> Verdict:
        if (
            is_end_of_name(low, start, end)
            or not is_word(low, start, end)
            or (name.generic and (is_compound(low, end) or (low[end - 1] == "所" and is_venue(low, start, end))))
        ):
            return "against"
        if name.kind in (COMMON, WEAK):
            verdict = chinese_context(low, start, end, word=name.kind == COMMON)
            return "for" if verdict == "open" and name.kind == COMMON else verdict
        return "for"

    @staticmethod
    def _english(folded: str, start: int, end: int, name: _Name) -> Verdict:
        surface = folded[start:end]
        in_capitals = surface.isupper() and len(surface) > SHORT_CHARS
        if name.spellings and surface not in name.spellings and not (in_capitals and is_title_case(folded, start)):
            return "against"
        if " " in surface:
            return "against" if longer_body(folded, start, end) else "open" if name.kind == WEAK else "for"
        if name.kind == STRONG:
            return "for"
        initials = len(surface) <= SHORT_CHARS and surface.isupper()
        title_case, weak = is_title_case(folded, start), name.kind == WEAK
        verdict = english_context(folded, start, end, title_case=title_case, initials=initials, weak=weak)
        return "for" if verdict == "open" and not weak else verdict

    def _role(self, low: str, places: Sequence[_Found]) -> Role:
        """The role of a company that is named at `places`: that of the first for a speaker; a comparison only if all are."""
        speaks = self._speaks(places[0].key)
        first = role_at(low, places[0].start, places[0].end, speaks=speaks)
        if first == COMPARISON and any(role_at(low, each.start, each.end, speaks=speaks) != COMPARISON for each in places[1:]):
            return SUBJECT
        return first

    def _speaks(self, key: str) -> bool:
        known = self._speaking.get(key)
        if known is None:
            company = self.companies.get(key)
            known = company is not None and may_speak(" ".join(_names_of(company)), company.sector)
            self._speaking[key] = known
        return known

    @cached_property
    def _by_name(self) -> dict[str, str]:
        """Key of the company by its plain names; "" if several have the name. Built at the first `link`."""
        found: dict[str, str] = {}
        for company in self.companies.values():
            for name in {*map(plain_name, _names_of(company))} - {""}:
                found[name] = company.key if found.get(name, company.key) == company.key else ""
        return found

    def link(self, name: str) -> Company | None:
        """Link the name of an organisation to a company, ignoring legal form, case, character width and traditional characters.

        Weak names count here: the caller knows that an organisation is meant. None if no company, or more than one, has the name.
        """
        key = share_code(name)
        if key and (is_listed(key) or name.strip().startswith("$") or not name.strip().isalpha()) and key in self._by_code:
            return self._by_code[key]
        return self.companies.get(self._by_name.get(plain_name(name), ""))


def _longest_first(lengths: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(lengths, reverse=True))


def _names_of(company: Company) -> tuple[str, ...]:
    return (company.name_en, company.name_zh, *company.aliases, *company.exact, *company.weak, *company.common)


def _folded(name: str) -> str:
    """A name as it is compared with folded texts; Chinese names without spaces."""
    low = lower(fold(name))
    return low.replace(" ", "") if _CHINESE.match(low) else low.lstrip("*")


def without_form(name: str) -> str:
    """A company's name without its legal form: "Acme" of "Acme Corp.", "邵阳维克液压" of "邵阳维克液压股份有限公司"."""
    return _FORM_EN.sub("", _FORM_ZH.sub("", name.strip()))


def plain_name(name: str) -> str:
    """Normalized name for matching: simplified, no legal form or punctuation, ASCII width, lower case; "" if nothing is left."""
    plain = without_form(fold(normalize("NFKC", name))).casefold()
    return re.sub(r"[\W_]+", "", plain.removeprefix("the "))
