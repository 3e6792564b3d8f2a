"""Watchlists: the [[watchlist]] tables of a TOML file. Each is a series of its own. All mistakes are reported at once."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.errors import SettingsError
from core.toml_files import parse_toml, read_rows, rows_of
from storage.tables.config_texts import NAME
from stream.watchlists.keywords import Term, match_keys, parse_keyword
from stream.watchlists.pattern_cost import too_large

MAX_TITLE_CHARS = 80
_FIELDS: dict[str, type[Any]] = {"name": str, "title_en": str, "title_zh": str, "companies": list, "topics": list, "keywords": list}


class Watchlist(msgspec.Struct, frozen=True, kw_only=True):
    """Selects articles that name one of `companies`, have one of `topics`, or contain one of the plain keywords.

    name: the key of its series
    companies, topics: keys
    terms: the keywords; those with + are all required, and any with ! excludes the article
    """

    name: str
    title_en: str
    title_zh: str
    companies: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    terms: tuple[Term, ...] = ()

    def of_sign(self, sign: str) -> tuple[Term, ...]:
        """The keywords with this sign: "" (any of them), "+" or "!"."""
        return tuple(term for term in self.terms if term.sign == sign)

    @property
    def digest(self) -> str:
        """Hash of the definition, independent of the order of its parts and of the titles."""
        parts = [sorted(self.companies), sorted(self.topics), sorted([term.sign, sorted(term.words), term.pattern] for term in self.terms)]
        return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def load_watchlists(
    path: Path, companies: Collection[str], topics: Collection[str], link: Callable[[str], str] = lambda name: ""
) -> tuple[Watchlist, ...]:
    """Reads the watchlists of a TOML file.

    Args:
        path: the file.
        companies: the known keys.
        topics: the known keys.
        link: from a name or another code of a company to its key, "" for none.

    Raises:
        SettingsError: one line per mistake, with file, watchlist and entry.
    """
    return _watchlists(read_rows(path, "watchlists", "watchlist"), f"watchlists {path}", companies, topics, link)


def parse_watchlists(
    text: str, where: str, companies: Collection[str], topics: Collection[str], link: Callable[[str], str] = lambda name: ""
) -> tuple[Watchlist, ...]:
    """Parses the watchlists of a text; an empty text has none. where: its name in error messages. Raises as `load_watchlists`."""
    table = parse_toml(text, where)
    return _watchlists(rows_of(table, where, "watchlist"), where, companies, topics, link) if table else ()


def _watchlists(
    rows: Sequence[Any], source: str, companies: Collection[str], topics: Collection[str], link: Callable[[str], str]
) -> tuple[Watchlist, ...]:
    mistakes: list[str] = []
    found: list[Watchlist] = []
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, 1):
        named = row.get("name") if isinstance(row, dict) and isinstance(row.get("name"), str) else ""
        where = f"{source}: number {number}" + (f" ({named})" if named else "")
        wrong = list(_mistakes(row, companies, topics, link))
        if named and seen.setdefault(str(named), number) != number:
            wrong.append(f"name: also used by number {seen[str(named)]}; names must be unique")
        mistakes += [f"{where}: {each}" for each in wrong]
        if not wrong:
            found.append(_watchlist(row))
    if wrong_patterns := too_large(patterns_of(found)):
        mistakes.append(f"{source}: {wrong_patterns}")
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return tuple(found)


def patterns_of(watchlists: Sequence[Watchlist]) -> list[str]:
    """The regular expressions of all watchlists, each once."""
    return sorted({term.pattern for watchlist in watchlists for term in watchlist.terms if term.pattern})


def titles_of(path: Path) -> dict[str, tuple[str, str]]:
    """From name to (English, Chinese) title. Ignores errors, which the worker reports."""
    try:
        rows = read_rows(path, "watchlists", "watchlist")
    except SettingsError:
        return {}
    return {row["name"]: _titles(row) for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)}


def _mistakes(row: Any, companies: Collection[str], topics: Collection[str], link: Callable[[str], str]) -> Iterator[str]:
    """The mistakes of one table."""
    if not isinstance(row, dict):
        yield "is not a table"
        return
    for field, value in row.items():
        kind = _FIELDS.get(field)
        if kind is None:
            yield f"unknown field {field!r}; the fields are {', '.join(_FIELDS)}"
        elif not isinstance(value, kind) or (kind is list and not all(isinstance(item, str) for item in value)):
            yield f"{field}: must be {'a string' if kind is str else 'a list of strings'}"
        elif kind is list and not value:
            yield f"{field}: is empty; remove it"
    name = row.get("name", "")
    if isinstance(name, str) and not NAME.fullmatch(name):
        yield f"name: {name!r} must be 1 to 40 lower-case letters, digits, - and _, starting with a letter or digit"
    for field in ("title_en", "title_zh"):
        title = row.get(field, "-")
        if isinstance(title, str) and not 1 <= len(title.strip()) <= MAX_TITLE_CHARS:
            yield f"{field}: must have 1 to {MAX_TITLE_CHARS} characters"
    for company in _strings(row, "companies"):
        if company not in companies:
            meant = link(company)
            yield f"companies: {company!r} is unknown; " + (
                f"did you mean {meant!r}?" if meant else "find its key with `tocsin companies link NAME`"
            )
    for topic in _strings(row, "topics"):
        if topic not in topics:
            near = difflib.get_close_matches(topic, topics, 1)
            yield f"topics: {topic!r} is unknown; " + (
                f"did you mean {near[0]!r}?" if near else f"the topics are {', '.join(sorted(topics))}"
            )
    yield from _duplicates("companies", _strings(row, "companies"))
    yield from _duplicates("topics", _strings(row, "topics"))
    yield from _keywords(row)


def _keywords(row: dict[str, Any]) -> Iterator[str]:
    terms, given = [], _strings(row, "keywords")
    wrong = False
    for text in given:
        try:
            terms.append(parse_keyword(text))
        except ValueError as error:
            wrong = True
            yield f"keywords: {text!r} {error}"
    yield from _duplicates("keywords", given)
    excluded: dict[str, Term] = {word: term for term in terms if term.sign == "!" for word in match_keys(term)}
    for term in terms:
        own = set(match_keys(term))
        if term.sign != "!" and own <= excluded.keys():
            wrong = True
            yield f"keywords: {term.text!r} is excluded by {excluded[min(own)].text!r}"
    if not wrong and not any(not term.sign for term in terms) and not _strings(row, "companies") and not _strings(row, "topics"):
        signed = " besides those with + and !" if terms else ""
        yield f"matches nothing: add companies, topics or a keyword without a sign{signed}"


def _duplicates(field: str, given: Sequence[str]) -> Iterator[str]:
    for value in sorted(value for value, count in Counter(given).items() if count > 1):
        yield f"{field}: {value!r} is duplicated"


def _strings(row: dict[str, Any], field: str) -> list[str]:
    """The strings of a list; [] for anything else, which is reported separately."""
    value = row.get(field, [])
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _titles(row: dict[str, Any]) -> tuple[str, str]:
    english, chinese = (str(row.get(field) or "").strip() for field in ("title_en", "title_zh"))
    return english or chinese or str(row["name"]), chinese or english or str(row["name"])


def _watchlist(row: dict[str, Any]) -> Watchlist:
    english, chinese = _titles(row)
    return Watchlist(
        name=row["name"],
        title_en=english,
        title_zh=chinese,
        companies=tuple(row.get("companies", ())),
        topics=tuple(row.get("topics", ())),
        terms=tuple(parse_keyword(text) for text in row.get("keywords", ())),
    )
