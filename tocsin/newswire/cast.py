"""The invented companies of the newswire, and the invented newspapers that write about them."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from core.records import Language


class InventedCompany(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[companies]] table of companies.toml, in the format of the gazetteer."""

    key: str
    name_en: str
    name_zh: str
    sector: str
    aliases: tuple[str, ...] = ()

    def name(self, language: Language) -> str:
        """Name at the first mention."""
        return self.name_zh if language == "zh" else self.name_en

    def short(self, language: Language) -> str:
        """Name at later mentions: the first alias in the language's script, else the full name."""
        fitting = (alias for alias in self.aliases if alias.isascii() == (language == "en"))
        return next(fitting, self.name(language))


class Newspaper(NamedTuple):
    """One source of the newswire.

    Attributes:
        form: format of its feeds.
        full: whether its feeds have the full text; otherwise the article page has to be fetched.
        weight: fraction of the original stories of its language.
        dateline: prefix of every story, with {city}, {date} and {name}; "" for none.
    """

    slug: str
    name: str
    language: Language
    form: Literal["rss", "atom"]
    full: bool
    weight: float
    dateline: str


PAPERS: tuple[Newspaper, ...] = (
    Newspaper("tarn-wire", "Tarn Wire", "en", "rss", full=True, weight=0.45, dateline="{city}, {date} ({name}) - "),
    Newspaper("osterby-ledger", "The Osterby Ledger", "en", "atom", full=True, weight=0.28, dateline=""),
    Newspaper("quillhaven", "Quillhaven Markets & Money", "en", "rss", full=True, weight=0.22, dateline="{date} - "),
    Newspaper("fenwright-post", "Fenwright Post", "en", "rss", full=False, weight=0.05, dateline=""),
    Newspaper("haina", "海纳社", "zh", "rss", full=True, weight=0.45, dateline="{name}{city}{date}电，"),
    Newspaper("chengwan", "澄湾财讯", "zh", "atom", full=True, weight=0.28, dateline=""),
    Newspaper("lingqiao", "岭桥商报", "zh", "rss", full=True, weight=0.22, dateline="{name}{date}讯，"),
    Newspaper("pingchuan", "屏川晚报", "zh", "atom", full=False, weight=0.05, dateline=""),
)


def companies_path() -> Path:
    """Path of the companies file, for the setting `companies`."""
    return Path(str(resources.files("tocsin.newswire"))) / "companies.toml"


@cache
def companies() -> tuple[InventedCompany, ...]:
    """All companies, in file order."""
    table = tomllib.loads(companies_path().read_text(encoding="utf8"))
    return msgspec.convert(table["companies"], tuple[InventedCompany, ...])


@cache
def sectors() -> tuple[str, ...]:
    """All sectors, in file order."""
    return tuple(dict.fromkeys(company.sector for company in companies()))


def papers_of(language: Language) -> tuple[Newspaper, ...]:
    """The newspapers of a language."""
    return tuple(paper for paper in PAPERS if paper.language == language)
