"""Which listed companies a text names: names and aliases of both languages, found in one pass.

    text ─▶ lower case ─▶ places where an alias may begin ─▶ the trie of that first letter ─▶ longest match ─▶ one Mention a company

English aliases match whole words; Chinese has no spaces, so its aliases match anywhere. `exact` aliases must be written
as they stand ("Apple", not "apple"); `unless` holds longer phrases in which an alias means something else ("苹果期货").
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from spine.errors import SettingsError
from spine.records import Mention

SECTORS = (
    "banks", "insurance", "real_estate", "technology", "semiconductors", "internet", "energy", "autos", "consumer", "health", "industrials",
    "materials", "telecom", "utilities", "media", "transport",
)  # fmt: skip
SHORT_CHARS = 4
"""An English alias of so few letters is only matched as it is written: 'GM', 'Nio', 'Arm'."""

_CODE = re.compile(r"(\d{6})\.(SH|SS|SZ|BJ)|(\d{1,5})\.HK|(?:\$)?([A-Z]{1,5}(?:\.[A-Z])?)(?:\.(?:US|N|O|OQ))?", re.IGNORECASE)
_EDGE = re.compile(r"[a-z0-9]")


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed company: a [[companies]] table."""

    key: Annotated[str, Meta(pattern=r"^[A-Z0-9.\-]{1,20}$", description="its main listing: AAPL, 00700.HK, 600519.SH, SAP.DE, 7203.T")]
    name_en: Annotated[str, Meta(min_length=1)]
    name_zh: Annotated[str, Meta(min_length=1)]
    sector: str
    aliases: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()


class Gazetteer:
    """Finds companies. Built once, then only read: safe for all threads."""

    def __init__(self, companies: Iterable[Company]) -> None:
        self.companies = {company.key: company for company in companies}
        self._by_code: dict[str, Company] = {}
        self._by_alias: dict[str, Company | None] = {}
        self._exact: dict[str, set[str]] = {}
        for company in self.companies.values():
            self._add(company)
        tries = _tries(alias for alias in self._by_alias if alias)
        self._tries = {first: re.compile(re.escape(first) + _branches(node, first)).match for first, node in tries.items()}
        self._begin = re.compile(_beginnings(tries))

    def _add(self, company: Company) -> None:
        for code in (company.key, *company.codes):
            self._by_code[code] = company
            for spelling in _spellings(code):
                self._learn(spelling, company, exact=True)
        for phrase in company.unless:
            self._by_alias[phrase.lower()] = None
        for alias in company.exact:
            self._learn(alias, company, exact=True)
        for alias in (company.name_en, company.name_zh, *company.aliases):
            if alias not in company.exact:
                self._learn(alias, company, exact=alias.isascii() and len(alias) <= SHORT_CHARS)

    def _learn(self, alias: str, company: Company, *, exact: bool) -> None:
        low = alias.lower()
        known = self._by_alias.setdefault(low, company)
        if known is not None and known.key != company.key:
            raise SettingsError(f"companies: {alias!r} names both {known.key} and {company.key}")
        if exact:
            self._exact.setdefault(low, set()).add(alias)

    def mentions(self, text: str, given: Sequence[tuple[str, str]] = ()) -> tuple[Mention, ...]:
        """The companies that `text` names, in order, each once with the words that name it first; then those of `given`.

        given: (code, name) as the source attached them; what is no share's code (a fund, a board) is left out
        """
        found: dict[str, Mention] = {}
        low = text.lower()
        if len(low) != len(text):  # a letter such as 'İ' grows when it is lowered, and places would shift
            low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
        end = 0
        for place in self._begin.finditer(low):
            start = place.start()
            if start < end or (match := self._tries[low[start]](low, start)) is None:
                continue
            end, alias = match.end(), match.group()
            company = self._by_alias[alias]
            if company is None or company.key in found:
                continue
            surface = text[start:end]
            if (exact := self._exact.get(alias)) is not None and surface not in exact:
                continue
            found[company.key] = Mention(company=company.key, surface=surface, sector=company.sector)
        for code, name in given:
            key = share_code(code)
            known = self._by_code.get(key)
            if known is not None:
                found.setdefault(known.key, Mention(company=known.key, surface=(name or known.name_en)[:200], sector=known.sector))
            elif key:
                found.setdefault(key, Mention(company=key, surface=(name or key)[:200]))
        return tuple(found.values())


def share_code(code: str) -> str:
    """A share's code in the form of a company's key: "00700.HK", "600519.SH", "AAPL"; "" for what is no share's code."""
    found = _CODE.fullmatch(code.strip())
    if not found:
        return ""
    mainland, market, hong_kong, ticker = found.groups()
    if mainland:
        return f"{mainland}.{market.upper().replace('SS', 'SH')}"
    if hong_kong:
        return f"{hong_kong.zfill(5)}.HK"
    return str(ticker).upper()


def _spellings(code: str) -> list[str]:
    """How a code is written in news; a bare ticker such as T or ALL is a word and is not among them."""
    number, _, market = code.partition(".")
    if market == "HK":
        return [code, f"{number[-4:]}.HK"]
    if market in ("SH", "SZ"):
        return [code, f"{market}{number}", f"{market.lower()}{number}", *([f"{number}.SS"] if market == "SH" else [])]
    if market:
        return [code]
    return [f"${code}", f"{code}.US", f"{code}.N", f"{code}.O", f"{code}.OQ"]


def _tries(words: Iterable[str]) -> dict[str, dict[str, Any]]:
    """For each first letter the trie of what may follow; "" marks the end of a word."""
    root: dict[str, Any] = {}
    for word in words:
        node = root
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {}
    return root


def _beginnings(tries: Iterable[str]) -> str:
    """A regular expression for where an alias may begin: English ones at the beginning of a word."""
    english = "".join(re.escape(char) for char in tries if char.isascii())
    chinese = "".join(re.escape(char) for char in tries if not char.isascii())
    parts = [rf"(?<![a-z0-9])[{english}]" if english else "", f"[{chinese}]" if chinese else ""]
    return "|".join(part for part in parts if part) or r"(?!)"


def _branches(node: dict[str, Any], last: str = "") -> str:
    """What may follow in the trie; a word ends at a word's edge if its last character is a letter or digit of English."""
    ends = "" in node
    choices = [re.escape(char) + _branches(child, char) for char, child in sorted(node.items()) if char]
    edge = "(?![a-z0-9])" if ends and _EDGE.match(last) else ""
    if not choices:
        return edge
    inner = choices[0] if len(choices) == 1 and not ends else f"(?:{'|'.join(choices)})"
    return f"(?:{inner}|{edge})" if ends else inner


def load_companies(path: Path | None = None) -> Gazetteer:
    """The gazetteer of a TOML file; of the shipped one for None. Raises SettingsError naming the file and the company."""
    path = path or Path(__file__).with_name("companies.toml")
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"companies {path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"companies {path}: is not TOML ({error})") from error
    rows = table.get("companies")
    if not isinstance(rows, list):
        raise SettingsError(f"companies {path}: holds no [[companies]] table")
    companies = []
    for number, row in enumerate(rows, 1):
        where = f"companies {path}: [[companies]] number {number}" + (
            f" ({row['key']})" if isinstance(row, dict) and row.get("key") else ""
        )
        try:
            company = msgspec.convert(row, Company)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {error}") from error
        if company.sector not in SECTORS:
            raise SettingsError(f"{where}: sector {company.sector!r} is none of {', '.join(SECTORS)}")
        companies.append(company)
    try:
        return Gazetteer(companies)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
