"""Build the gazetteer's companies from lists of symbols, with strong and weak names.

    FOLDER/*.csv, names.csv ─▶ listings (code, names, sector) ─▶ joined by code with the shipped companies ─▶ names, strong or weak
                            ─▶ names shared by two companies are dropped ─▶ companies

names.csv, which ships, holds what such lists lack: Chinese names of Hong Kong and US shares, former names, second listings, and shares of
the STAR market.

A weak name is a common word or a short name ("太阳能", "海南发展", "Target"): it counts only if the context speaks for the company. Entries
of shipped companies are kept and only extended.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from core.errors import SettingsError
from ingest.companies.gazetteer import Company, without_form
from ingest.companies.word_boundaries import word_costs

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
_YUAN_COUNTER = re.compile(r"-(?:S?W|SW)?R$")
"""End of the names of second counters in yuan in Hong Kong, whose codes begin with 8."""
_PLACE = re.compile(
    r"^(?:中国|北京|上海|天津|重庆|广东|广州|深圳|浙江|江苏|山东|山西|河南|河北|湖南|湖北|安徽|江西|福建|四川|云南|贵州|广西|海南|新疆|西藏|青海|甘肃|宁夏|"
    r"陕西|内蒙古|辽宁|吉林|黑龙江|西部|东北|华北|南方|北方|东方|国际|大众|人民|桂林|西安|厦门|宁波|青岛|大连|南京|珠海|长江|黄河|三峡|世界|第一|国家)"
)
MIN_DISTINCT_CHARS = 4
"""English names of one word need more letters than this to be distinct."""
_ENDINGS = (
    "s",
    "es",
    "ed",
    "er",
    "ers",
    "ing",
    "ish",
    "ern",
    "ance",
    "ence",
    "ly",
    "y",
    "al",
    "ity",
    "ness",
    "ment",
    "tion",
    "ive",
    "or",
    "en",
    "ful",
)
_COMMON_COST = 86
"""Words up to this cost in the dictionary are everyday words."""
_FIRM = frozenset(
    {
        "银行",
        "证券",
        "机场",
        "钢铁",
        "建工",
        "水务",
        "航空",
        "燃气",
        "路桥",
        "高速",
        "环境",
        "电气",
        "控股",
        "股份",
        "铜业",
        "铝业",
        "能源",
        "科技",
        "电力",
        "水利",
        "水泥",
        "食品",
        "材料",
    }
)
"""Everyday words that make a name of a company after a place."""
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
    """One row of a list.

    Attributes:
        full_name, sector: "" if the list has none.
        same_as: key of the main listing of the same company; "" if this is it.
        chosen: the name was written down as one that news uses, so it is weak only if it is a single ordinary word.
    """

    key: str
    name: str
    full_name: str
    language: str
    sector: str
    same_as: str = ""
    chosen: bool = False


def further_names() -> list[Listing]:
    """The names of names.csv."""
    with Path(__file__).with_name("names.csv").open(encoding="utf8", newline="") as file:
        return list(_exchange_rows(csv.DictReader(file), chosen=True))


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


def _exchange_rows(rows: Iterable[dict[str, str]], *, chosen: bool = False) -> Iterator[Listing]:
    for row in rows:
        name, full = (row.get("name") or row.get("short_name") or "").strip(), (row.get("full_name") or "").strip()
        code, market = row["code"].strip().upper(), _MARKETS.get(row["exchange"])
        if _NOT_A_SHARE.search(name) or "^" in code or not (name and code):
            continue
        key = f"{code.zfill(5)}.HK" if market == "HK" else f"{code}.{market}" if market else code
        same_as = row.get("same_as") or ""
        if market == "HK" and _YUAN_COUNTER.search(name):
            same_as, name = f"0{code.zfill(5)[1:]}.HK", _YUAN_COUNTER.sub("", name)
        language = row.get("lang") or ("zh" if market in ("SH", "SZ", "BJ") else "en")
        yield Listing(key, _KIND_OF_SHARE.sub("", name), full, language, _industry(row.get("industry") or ""), same_as, chosen)


def _index_rows(rows: Iterable[dict[str, str]]) -> Iterator[Listing]:
    for row in rows:
        detail = row.get("GICS Sub-Industry") or ""
        sector = next((ours for part, ours in _GICS_PARTS.items() if part in detail), _GICS.get(row.get("GICS Sector") or "", ""))
        yield Listing(row["Symbol"].strip().upper(), _KIND_OF_SHARE.sub("", row["Security"].strip()), "", "en", sector)


def _industry(name: str) -> str:
    return next((sector for words, sector in _INDUSTRIES.items() if name and re.search(words, name)), "")


def build(listings: Iterable[Listing], base: Iterable[Company], common: Collection[str] = ()) -> list[Company]:
    """Companies of `base`, then those of the listings sorted by key. No name belongs to two companies.

    common: everyday words in lower case; a name that is one, or in English consists of them, is weak
    """
    known = list(base)
    by_code = {code: company.key for company in known for code in (company.key, *company.codes)}
    rows: defaultdict[str, list[Listing]] = defaultdict(list)
    codes: defaultdict[str, set[str]] = defaultdict(set)
    listed = list(listings)
    same = {listing.key: listing.same_as for listing in listed if listing.same_as}
    for listing in listed:
        key = by_code.get(listing.key, "") or same.get(listing.key, "") or listing.key
        key = by_code.get(key, same.get(key, key))
        rows[key].append(listing)
        if key != listing.key:
            codes[key].add(listing.key)
    names = {key: _names(found, common) for key, found in rows.items()}
    owners = Counter(low for parts in names.values() for low in {name.lower() for part in parts for name in part})
    taken = {low for company in known for low in _known_names(company)}
    free = {low for low, count in owners.items() if count == 1} - taken
    built = []
    for company in known:
        strong, exact, weak, ordinary = (_kept(part, free) for part in names.get(company.key, ((), (), (), ())))
        built.append(
            msgspec.structs.replace(
                company,
                sector=company.sector or next((row.sector for row in rows.get(company.key, ()) if row.sector), ""),
                aliases=(*company.aliases, *strong),
                exact=(*company.exact, *exact),
                weak=(*company.weak, *weak),
                common=(*company.common, *ordinary),
                codes=(*company.codes, *sorted(codes[company.key] - {company.key, *company.codes} - set(by_code))),
            )
        )
    mine = {company.key for company in known}
    for key in sorted(set(rows) - mine):
        company_of = _company(
            key, rows[key], tuple(_kept(part, free) for part in names[key]), tuple(sorted(codes[key] - {key} - set(by_code)))
        )
        if company_of is not None:
            built.append(company_of)
    return built


def _company(key: str, rows: list[Listing], names: tuple[tuple[str, ...], ...], codes: tuple[str, ...]) -> Company | None:
    strong, exact, weak, ordinary = names
    first = {language: next((row.name for row in rows if row.language == language and row.name), "") for language in ("en", "zh")}
    shown = first["en"] or first["zh"]
    listed_names = {*strong, *exact, *ordinary}
    free = {*strong, *exact, *weak, *ordinary}
    shown = next((name for name in (without_form(first["en"]), first["en"], first["zh"]) if name in free), shown)
    bare = _MARK_ZH.sub("", first["zh"].replace(" ", ""))
    chinese = next((name for name in (bare, first["zh"].replace(" ", "")) if name in strong), bare if bare in free else first["zh"])
    weak = (*weak, *sorted({name for name in (shown, chinese) if name and name not in listed_names and name not in weak}))
    sector = next((row.sector for row in rows if row.sector), "")
    try:
        return msgspec.convert(
            {
                "key": key, "name_en": shown, "name_zh": chinese or shown, "sector": sector,
                "aliases": strong, "exact": exact, "weak": weak, "common": ordinary, "codes": codes,
            },
            Company,
        )  # fmt: skip
    except msgspec.ValidationError:  # an invalid code, such as a test symbol
        return None


def _known_names(company: Company) -> set[str]:
    names = (company.name_en, company.name_zh, *company.aliases, *company.exact, *company.unless, *company.weak, *company.common)
    return {name.lower() for name in names}


def _kept(names: Iterable[str], free: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name.lower() in free}))


def _names(rows: Iterable[Listing], common: Collection[str]) -> tuple[set[str], set[str], set[str], set[str]]:
    """Names of one company: (strong, strong and case-sensitive, weak, common)."""
    strong: set[str] = set()
    exact: set[str] = set()
    weak: set[str] = set()
    ordinary: set[str] = set()
    for row in rows:
        if row.language == "zh":
            plain = row.name.replace(" ", "")
            short = _MARK_ZH.sub("", _MARK_ZH.sub("", plain))
            bare = without_form(row.full_name)
            strong |= {row.full_name} - {""}
            for name in {short, plain, bare} - {""}:
                everyday = name in word_costs() or name in common if row.chosen else _is_everyday(name, common)
                (weak if everyday else strong).add(name)
            continue
        bare = re.sub(r"\s*\(.*?\)", "", row.name).strip(" .,")
        short = without_form(bare)
        everyday = all(len(word) < 3 or _is_english_word(word.lower().strip(".,&'’"), common) for word in re.split(r"[ \-]", short))
        if row.key.endswith(".HK") and not row.chosen:  # the exchange's own abbreviations, in capitals: "CH AGRI-PROD EX"
            (exact if len(short) >= 6 and " " in short else weak).add(short)
        elif row.chosen:
            (exact if " " in short or not everyday else ordinary if len(short) > 1 else weak).add(short)
        else:
            distinct = not everyday and " " not in short and len(short) > MIN_DISTINCT_CHARS
            distinct = distinct and not short.isupper()
            (ordinary if distinct else exact if " " in short and not everyday else weak).add(short)
            if bare != short:
                exact.add(bare)
    weak = {name for name in weak if len(name) > 1 and not name.isdigit()}
    exact = {name for name in exact if not name.isdigit()}
    return strong, exact - strong, weak - strong - exact, ordinary - strong - exact - weak


def _is_english_word(word: str, common: Collection[str]) -> bool:
    """Whether an English word, or its stem, is an everyday one: "ouster" is, as "oust" is."""
    return word in common or any(len(word) - len(end) > 2 and word.endswith(end) and word[: -len(end)] in common for end in _ENDINGS)


def _is_everyday(name: str, common: Collection[str]) -> bool:
    """Whether a Chinese name is an ordinary word, or a place with one: 太阳能, 海南发展."""
    costs = word_costs()
    if len(name) < 3 or name in common or name in costs:
        return True
    place = _PLACE.match(name)
    rest = name[place.end() :] if place else ""
    return bool(rest) and rest not in _FIRM and costs.get(rest, _COMMON_COST) < _COMMON_COST
