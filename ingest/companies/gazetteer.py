"""Find listed companies in texts by their names and aliases in both languages, in one pass.

    text ─▶ lower case ─▶ positions where an alias may begin ─▶ candidate lengths ─▶ longest match ─▶ one Mention per company

English aliases match whole words; Chinese has no spaces, so Chinese aliases match anywhere. `exact` aliases are case-sensitive
("Apple", not "apple"); `unless` lists longer phrases in which an alias means something else ("苹果期货").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from core.errors import SettingsError
from core.records import Mention
from core.toml_files import read_toml

SECTORS = (
    "banks", "insurance", "real_estate", "technology", "semiconductors", "internet", "energy", "autos", "consumer", "health", "industrials",
    "materials", "telecom", "utilities", "media", "transport",
)  # fmt: skip
SHORT_CHARS = 4
"""English aliases up to this length are case-sensitive: 'GM', 'Nio', 'Arm'."""

_CODE = re.compile(r"(\d{6})\.(SH|SS|SZ|BJ)|(\d{1,5})\.HK|(?:\$)?([A-Z]{1,5}(?:\.[A-Z])?)(?:\.(?:US|N|O|OQ))?", re.IGNORECASE | re.ASCII)
_LISTED = re.compile(r"\d{6}\.(?:SH|SS|SZ|BJ)|\d{1,5}\.HK|\$[A-Z]{1,5}", re.IGNORECASE | re.ASCII)
_FORM_EN = re.compile(
    r"(?:[\s,]+(?:inc|corp|corporation|co|company|companies|ltd|limited|plc|n\.?v|s\.?a|ag|se|llc|l\.?p)\b\.?)+$", re.IGNORECASE
)
_FORM_ZH = re.compile(r"(?:股份)?(?:有限(?:责任)?公司)$")
_EDGE = re.compile(r"[a-z0-9]")


class Company(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listed company: a [[companies]] table.

    sector: one of SECTORS, or "" if unknown
    weak: names that are also common words; they only count where the model's tag head finds an organisation
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


class Gazetteer:
    """Finds companies. Immutable after construction, so thread safe."""

    def __init__(self, companies: Iterable[Company]) -> None:
        self.companies = {company.key: company for company in companies}
        self._by_code: dict[str, Company] = {}
        self._by_alias: dict[str, Company | None] = {}
        self._exact: dict[str, set[str]] = {}
        self._by_name: dict[str, Company | None] = {}
        for company in self.companies.values():
            self._add(company)
        lengths: dict[str, set[int]] = {}
        for alias in self._by_alias:
            lengths.setdefault(alias[:2], set()).add(len(alias))
        self._lengths = {beginning: sorted(found, reverse=True) for beginning, found in lengths.items()}
        self._begin = re.compile(_beginnings(sorted({alias[0] for alias in self._by_alias})))

    def _add(self, company: Company) -> None:
        for code in (company.key, *company.codes):
            self._by_code[code] = company
            for spelling in code_spellings(code):
                self._add_alias(spelling, company, exact=True)
        for phrase in company.unless:
            self._by_alias[phrase.lower()] = None
        for alias in company.exact:
            self._add_alias(alias, company, exact=True)
        for alias in (company.name_en, company.name_zh, *company.aliases):
            if alias not in company.exact and alias not in company.weak:
                self._add_alias(alias, company, exact=alias.isascii() and len(alias) <= SHORT_CHARS)

        for name in {*map(plain_name, (company.name_en, company.name_zh, *company.aliases, *company.exact, *company.weak))} - {""}:
            self._by_name[name] = company if name not in self._by_name else None

    def _add_alias(self, alias: str, company: Company, *, exact: bool) -> None:
        if not alias:
            return
        low = alias.lower()
        known = self._by_alias.setdefault(low, company)
        if known is not None and known.key != company.key:
            raise SettingsError(f"companies: {alias!r} names both {known.key} and {company.key}")
        if exact:
            self._exact.setdefault(low, set()).add(alias)

    def mentions(self, text: str, given: Sequence[tuple[str, str]] = ()) -> tuple[Mention, ...]:
        """Find the companies in `text`.

        Args:
            text: title and text of an article.
            given: (code, name) pairs attached by the source; codes of funds and indexes are ignored.

        Returns:
            Each company once, with its first surface form, in order of appearance; then those of `given`.
        """
        found: dict[str, Mention] = {}
        low = text.lower()
        if len(low) != len(text):  # letters such as 'İ' become longer in lower case, which would shift offsets
            low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
        end = 0
        for place in self._begin.finditer(low):
            start = place.start()
            if start < end or not (alias := self._longest(low, start)):
                continue
            end = start + len(alias)
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

    def _longest(self, low: str, start: int) -> str:
        """The longest alias at `start`, whole words only if it ends in a Latin letter; "" if none."""
        for length in (*self._lengths.get(low[start : start + 2], ()), *self._lengths.get(low[start], ())):
            alias, after = low[start : start + length], low[start + length : start + length + 1]
            if alias in self._by_alias and not (_EDGE.match(alias[-1]) and _EDGE.match(after)):
                return alias
        return ""

    def link(self, name: str) -> Company | None:
        """Link the name of an organisation to a company, ignoring legal form, case and character width.

        Weak names count here: the caller knows that an organisation is meant. None if no company, or more than one, has the name.
        """
        known = self._by_code.get(share_code(name)) if _LISTED.fullmatch(name.strip()) else None
        return known or self._by_name.get(plain_name(name))


def share_code(code: str) -> str:
    """Normalize a share's code to a company key: "00700.HK", "600519.SH", "AAPL"; "" if it is not one."""
    found = _CODE.fullmatch(unicodedata.normalize("NFKC", code).strip())
    if not found:
        return ""
    mainland, market, hong_kong, ticker = found.groups()
    if mainland:
        return f"{mainland}.{market.upper().replace('SS', 'SH')}"
    if hong_kong:
        return f"{hong_kong.zfill(5)}.HK"
    return str(ticker).upper()


def without_form(name: str) -> str:
    """A company's name without its legal form: "Acme" of "Acme Corp.", "邵阳维克液压" of "邵阳维克液压股份有限公司"."""
    return _FORM_EN.sub("", _FORM_ZH.sub("", name.strip()))


def plain_name(name: str) -> str:
    """Normalized name for matching: no legal form or punctuation, ASCII width, lower case; "" if nothing is left."""
    plain = without_form(unicodedata.normalize("NFKC", name)).casefold()
    return re.sub(r"[\W_]+", "", plain.removeprefix("the "))


def code_spellings(code: str) -> list[str]:
    """Spellings of a code in news. Bare tickers such as T or ALL are words and not included."""
    number, _, market = code.partition(".")
    if market == "HK":
        return [code, *([f"{number[1:]}.HK"] if number.startswith("0") else [])]
    if market in ("SH", "SZ"):
        return [code, f"{market}{number}", f"{market.lower()}{number}", *([f"{number}.SS"] if market == "SH" else [])]
    if market:
        return [code]
    return [f"${code}", f"{code}.US", f"{code}.N", f"{code}.O", f"{code}.OQ"]


def _beginnings(letters: Sequence[str]) -> str:
    """Regular expression for positions where an alias may begin: English ones at a word boundary."""
    english = "".join(re.escape(char) for char in letters if char.isascii())
    chinese = "".join(re.escape(char) for char in letters if not char.isascii())
    parts = [rf"(?<![a-z0-9])[{english}]" if english else "", f"[{chinese}]" if chinese else ""]
    return "|".join(part for part in parts if part) or r"(?!)"


def load_companies(path: Path | None = None) -> Gazetteer:
    """Load the gazetteer from a TOML file; None for the shipped one. Raises SettingsError with the file and the company."""
    path = path or Path(__file__).with_name("companies.toml")
    rows = read_toml(path, "companies").get("companies")
    if not isinstance(rows, list):
        raise SettingsError(f"companies {path}: has no [[companies]] table")
    companies = []
    for number, row in enumerate(rows, 1):
        where = f"companies {path}: [[companies]] number {number}" + (
            f" ({row['key']})" if isinstance(row, dict) and row.get("key") else ""
        )
        try:
            company = msgspec.convert(row, Company)
        except msgspec.ValidationError as error:
            raise SettingsError(f"{where}: {error}") from error
        if company.sector not in ("", *SECTORS):
            raise SettingsError(f"{where}: sector {company.sector!r} is not one of {', '.join(SECTORS)}")
        companies.append(company)
    try:
        return Gazetteer(companies)
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error
