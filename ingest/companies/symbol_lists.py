"""Build the gazetteer's companies from lists of symbols, with strong and weak aliases.

    FOLDER/*.csv ─▶ listings (code, names, sector) ─▶ joined by code with the shipped companies ─▶ aliases, strong or weak
                 ─▶ names shared by two companies are dropped ─▶ [[companies]] in TOML

A weak alias is a common word or a short name ("太阳能", "万科", "Target"): it only counts where the model's tag head finds an
organisation (`Gazetteer.link`). Entries of shipped companies are kept and only extended.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.errors import SettingsError
from ingest.companies.gazetteer import Company, code_spellings, without_form

_MARKETS = {"SSE": "SH", "SZSE": "SZ", "BSE": "BJ", "HKEX": "HK"}
_NOT_A_SHARE = re.compile(
    r"\b(?:preferred|warrants?|rights?|units?|notes?|debentures?|etfs?|etn|funds?|municipal|muni\w*|acquisition corp)\b|%|\^",
    re.IGNORECASE,
)
_KIND_OF_SHARE = re.compile(
    r"[\s,\-.]*\b(?:common (?:stock|shares?|units?)|ordinary shares?|american depositary|adss?\b|class [a-z]\b|subordinate|"
    r"depositary shares?|shares of beneficial|capital stock|registered shares?|new york registry).*$",
    re.IGNORECASE,
)
_MARK_ZH = re.compile(r"^(?:\*?ST|XD|XR|DR|[NCS](?=[\u4e00-\u9fff]))|(?:-(?:U|W|UW|SW|S|SB|B)|[AB]|退)$")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_GICS_PARTS = {
    "Insurance": "insurance", "Semiconductor": "semiconductors", "Interactive Media": "internet", "Telecom": "telecom",
    "Automobile": "autos", "Automotive": "autos", "Airlines": "transport", "Freight": "transport", "Rail": "transport",
}  # fmt: skip
_GICS = {
    "Information Technology": "technology", "Health Care": "health", "Energy": "energy", "Industrials": "industrials",
    "Materials": "materials", "Utilities": "utilities", "Real Estate": "real_estate", "Consumer Discretionary": "consumer",
    "Consumer Staples": "consumer", "Communication Services": "media", "Financials": "banks",
}  # fmt: skip
# Words of a Chinese industry name and our sector; the first match counts.
_INDUSTRIES = {
    "银行|城商行|农商行": "banks",
    "保险": "insurance",
    "住宅|地产|物业": "real_estate",
    "芯片|半导体|集成电路|分立器件": "semiconductors",
    "游戏|影视|出版|广播|营销": "media",
    "乘用车|汽车|载货车|摩托车|轮胎|底盘": "autos",
    "煤|石化|油|光伏|风电|电池": "energy",
    "发电|燃气|水务|热力|电能": "utilities",
    "药|医|疫苗|诊断|生物制品": "health",
    "航运|港口|物流|高速|公交|航空运输|货运": "transport",
    "通信": "telecom",
    "软件|IT服务|计算机|电子|面板|LED|光学": "technology",
    "化|钢|铜|铝|金属|锌|水泥|玻|纸|塑料|黄金": "materials",
    "白酒|乳品|食品|饮料|家电|家居|服装|零售|百货|超市|调味|零食|养殖": "consumer",
    "设备|机床|机械|工程|装备|机器人|仪器|环": "industrials",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of a list. full_name, sector: "" if the list has none."""

    key: str
    name: str
    full_name: str
    language: str
    sector: str


def read_listings(folder: Path) -> list[Listing]:
    """Read the shares in the CSV files of `folder`, in order of file names; funds, rights and bonds are skipped.

    The format follows from the columns: code, exchange, name (and lang) of open stock lists; Symbol, Security of index members;
    code, exchange, full_name, short_name of company registers. Raises SettingsError if the folder has no such file.
    """
    found: list[Listing] = []
    for path in sorted(folder.glob("*.csv")):
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(map(_printable, file), restval="")
                columns = set(rows.fieldnames or ())
                if {"code", "exchange"} <= columns and columns & {"name", "full_name"}:
                    found += _exchange_rows(rows)
                elif {"Symbol", "Security"} <= columns:
                    found += _index_rows(rows)
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise SettingsError(f"symbols {path}: cannot be read ({error})") from error
    if not found:
        raise SettingsError(f"symbols {folder}: no CSV file with columns code, exchange, name or Symbol, Security")
    return found


def _printable(line: str) -> str:
    """The line without control characters, which TOML does not allow."""
    return _CONTROL.sub("", line)


def _exchange_rows(rows: Iterable[dict[str, str]]) -> Iterator[Listing]:
    for row in rows:
        name, full = (row.get("name") or row.get("short_name") or "").strip(), (row.get("full_name") or "").strip()
        code, market = row["code"].strip().upper(), _MARKETS.get(row["exchange"])
        if _NOT_A_SHARE.search(name) or "^" in code or not (name and code):
            continue
        key = f"{code.zfill(5)}.HK" if market == "HK" else f"{code}.{market}" if market else code
        language = row.get("lang") or ("zh" if market in ("SH", "SZ", "BJ") else "en")
        yield Listing(key, _KIND_OF_SHARE.sub("", name), full, language, _industry(row.get("industry") or ""))


def _index_rows(rows: Iterable[dict[str, str]]) -> Iterator[Listing]:
    for row in rows:
        detail = row.get("GICS Sub-Industry") or ""
        sector = next((ours for part, ours in _GICS_PARTS.items() if part in detail), _GICS.get(row.get("GICS Sector") or "", ""))
        yield Listing(row["Symbol"].strip().upper(), _KIND_OF_SHARE.sub("", row["Security"].strip()), "", "en", sector)


def _industry(name: str) -> str:
    return next((sector for words, sector in _INDUSTRIES.items() if name and re.search(words, name)), "")


def build(listings: Iterable[Listing], base: Iterable[Company], common: Collection[str] = ()) -> list[Company]:
    """Companies of `base`, then those of the listings sorted by key. No alias belongs to two companies.

    common: everyday words in lower case; a name that is one, or in English consists of them, is weak
    """
    known = list(base)
    by_code = {code: company.key for company in known for code in (company.key, *company.codes)}
    rows: defaultdict[str, list[Listing]] = defaultdict(list)
    for listing in listings:
        rows[by_code.get(listing.key, listing.key)].append(listing)
    names = {key: _names(found, common) for key, found in rows.items()}
    owners = Counter(low for parts in names.values() for low in {name.lower() for part in parts for name in part})
    taken = {low for company in known for low in _known_names(company)}
    taken |= {spelling.lower() for code in (*by_code, *rows) for spelling in code_spellings(code)}
    free = {low for low, count in owners.items() if count == 1} - taken
    built = []
    for company in known:
        strong, exact, weak = (_kept(part, free) for part in names.get(company.key, ((), (), ())))
        built.append(
            msgspec.structs.replace(
                company, aliases=(*company.aliases, *strong), exact=(*company.exact, *exact), weak=(*company.weak, *weak)
            )
        )
    mine = {company.key for company in known}
    for key in sorted(set(rows) - mine):
        company_of = _company(key, rows[key], tuple(_kept(part, free) for part in names[key]))
        if company_of is not None:
            built.append(company_of)
    return built


def _company(key: str, rows: list[Listing], names: tuple[tuple[str, ...], ...]) -> Company | None:
    strong, exact, weak = names
    first = {language: next((row.name for row in rows if row.language == language and row.name), "") for language in ("en", "zh")}
    shown = first["en"] or first["zh"]
    listed_names = {*strong, *exact}
    weak = (*weak, *sorted({name for name in (shown, first["zh"]) if name and name not in listed_names and name not in weak}))
    sector = next((row.sector for row in rows if row.sector), "")
    try:
        return msgspec.convert(
            {
                "key": key, "name_en": shown, "name_zh": first["zh"] or shown, "sector": sector,
                "aliases": strong, "exact": exact, "weak": weak,
            },
            Company,
        )  # fmt: skip
    except msgspec.ValidationError:  # an invalid code, such as a test symbol
        return None


def _known_names(company: Company) -> set[str]:
    return {name.lower() for name in (company.name_en, company.name_zh, *company.aliases, *company.exact, *company.unless, *company.weak)}


def _kept(names: Iterable[str], free: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in names if name.lower() in free))


def _names(rows: Iterable[Listing], common: Collection[str]) -> tuple[set[str], set[str], set[str]]:
    """Names of one company: (strong, strong and case-sensitive, weak)."""
    strong: set[str] = set()
    exact: set[str] = set()
    weak: set[str] = set()
    for row in rows:
        if row.language == "zh":
            short = _MARK_ZH.sub("", _MARK_ZH.sub("", row.name.replace(" ", "")))
            bare = without_form(row.full_name)
            strong |= {row.full_name} - {""}
            for name in {short, row.name, bare} - {""}:
                (weak if len(name) < 3 or name in common else strong).add(name)
            continue
        bare = re.sub(r"\s*\(.*?\)", "", row.name).strip(" .,")
        short = without_form(bare)
        if row.key.endswith(".HK"):  # the exchange's own abbreviations, in capitals: "CH AGRI-PROD EX"
            (exact if len(short) >= 6 and " " in short else weak).add(short)
        else:
            everyday = all(word.lower() in common for word in short.split())
            (exact if " " in short and not everyday else weak).add(short)
            if bare != short:
                exact.add(bare)
    weak = {name for name in weak if len(name) > 1}
    return strong, exact - strong, weak - strong - exact


def to_toml(companies: Iterable[Company]) -> str:
    """The [[companies]] tables that `load_companies` reads."""
    parts = []
    for company in companies:
        parts.append("[[companies]]")
        for name, value in msgspec.structs.asdict(company).items():
            if value or name in ("key", "name_en", "name_zh", "sector"):
                parts.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
        parts.append("")
    return "\n".join(parts)
