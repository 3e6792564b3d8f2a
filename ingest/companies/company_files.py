"""Files of companies: [[companies]] tables in TOML, and the shipped lists of all shares of mainland China, Hong Kong and the US.

listings.tsv.gz has one company per line: key, names, sector, and the names of each kind separated by "|". `tocsin companies build` writes
it from lists of symbols and names.csv.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import msgspec

from core.errors import SettingsError
from core.toml_files import read_toml
from ingest.companies.gazetteer import SECTORS, Company, Gazetteer

COLUMNS = ("key", "name_en", "name_zh", "sector", "aliases", "exact", "common", "weak", "codes")
"""Columns of listings.tsv.gz; the last five are lists."""
LISTINGS_SUFFIX = ".tsv.gz"
SINGLE = 4
"""Number of columns that are not lists."""


def load_companies(path: Path | None = None) -> Gazetteer:
    """Load the gazetteer from a TOML file; None for the shipped companies. Raises SettingsError with the file and the company."""
    if path is None:
        return Gazetteer([*curated_companies(), *shipped_listings()])
    try:
        return Gazetteer(read_companies(path))
    except SettingsError as error:
        raise error if str(path) in str(error) else SettingsError(f"{path}: {error}") from error


def curated_companies() -> list[Company]:
    """The shipped companies of companies.toml, which no listing repeats."""
    return read_companies(Path(__file__).with_name("companies.toml"))


def read_companies(path: Path) -> list[Company]:
    """The [[companies]] tables of a TOML file. Raises SettingsError with the file and the company."""
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
    return companies


def shipped_listings() -> list[Company]:
    """The companies of the shipped lists that companies.toml does not have."""
    packed = resources.files("ingest.companies").joinpath("listings.tsv.gz").read_bytes()
    found = []
    for line in gzip.decompress(packed).decode("utf8").splitlines():
        cells = line.split("\t")
        lists = {name: tuple(cell.split("|")) for name, cell in zip(COLUMNS[SINGLE:], cells[SINGLE:], strict=True) if cell}
        found.append(Company(key=cells[0], name_en=cells[1], name_zh=cells[2], sector=cells[3], **lists))
    return found


def to_listings(companies: Iterable[Company]) -> bytes:
    """The content of listings.tsv.gz."""
    lines = []
    for company in companies:
        values = [getattr(company, name) for name in COLUMNS]
        lines.append("\t".join([*values[:SINGLE], *("|".join(names) for names in values[SINGLE:])]))
    return gzip.compress(("\n".join(lines) + "\n").encode("utf8"), 9, mtime=0)


def to_toml(companies: Iterable[Company]) -> str:
    """The [[companies]] tables that `read_companies` reads."""
    parts = []
    for company in companies:
        parts.append("[[companies]]")
        for name, value in msgspec.structs.asdict(company).items():
            if value or name in ("key", "name_en", "name_zh", "sector"):
                parts.append(f"{name} = {json.dumps(value, ensure_ascii=False)}")
        parts.append("")
    return "\n".join(parts)
