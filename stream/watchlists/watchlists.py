"""Watchlists: [[watchlist]] tables of a TOML file, each a series of what an analyst follows. All mistakes are told at once."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from core.errors import SettingsError
from core.toml_files import parse_toml, read_rows, rows_of
from storage.tables.watchlists import NAME
from stream.watchlists.keywords import Term, keys_of, parse

MAX_TITLE_CHARS = 80
_FIELDS: dict[str, type[Any]] = {"name": str, "title_en": str, "title_zh": str, "companies": list, "topics": list, "keywords": list}


class Watchlist(msgspec.Struct, frozen=True, kw_only=True):
    """What one watchlist follows: articles that name one of `companies`, are of one of `topics` or have one of the plain keywords.

    name: its key, which never changes
    companies, topics: keys
    terms: the keywords; those with + must all be there, and one with ! shuts the article out, whatever else it has
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
        """The same for the same things looked for, in any order, whatever the titles."""
        parts = [sorted(self.companies), sorted(self.topics), sorted([term.sign, sorted(term.words), term.pattern] for term in self.terms)]
        return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def load_watchlists(
    path: Path, companies: Collection[str], topics: Collection[str], link: Callable[[str], str] = lambda name: ""
) -> tuple[Watchlist, ...]:
    """The watchlists of a TOML file.

    companies, topics: the keys there are; link: the company that a name or another code means, "" for none
    Raises SettingsError with a line for each mistake: file, watchlist and entry.
    """
    return _watchlists(read_rows(path, "watchlists", "watchlist"), f"watchlists {path}", companies, topics, link)


def parse_watchlists(
    text: str, where: str, companies: Collection[str], topics: Collection[str], link: Callable[[str], str] = lambda name: ""
) -> tuple[Watchlist, ...]:
    """The watchlists of a text; nothing at all means none. where: what it is called in messages. Raises as `load_watchlists`."""
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
            wrong.append(f"name: number {seen[str(named)]} has the same; give each its own")
        mistakes += [f"{where}: {each}" for each in wrong]
        if not wrong:
            found.append(_watchlist(row))
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return tuple(found)


def titles_of(path: Path) -> dict[str, tuple[str, str]]:
    """Name to (English, Chinese) title, for people. What cannot be read is passed over: the worker complains of it."""
    try:
        rows = read_rows(path, "watchlists", "watchlist")
    except SettingsError:
        return {}
    return {row["name"]: _titles(row) for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)}


def _mistakes(row: Any, companies: Collection[str], topics: Collection[str], link: Callable[[str], str]) -> Iterator[str]:
    """What is wrong with one table, a clause each."""
    if not isinstance(row, dict):
        yield "is not a table"
        return
    for field, value in row.items():
        kind = _FIELDS.get(field)
        if kind is None:
            yield f"there is no field {field!r}; the fields are {', '.join(_FIELDS)}"
        elif not isinstance(value, kind) or (kind is list and not all(isinstance(item, str) for item in value)):
            yield f"{field}: is not {'a string' if kind is str else 'a list of strings'}"
        elif kind is list and not value:
            yield f"{field}: is empty; leave it out"
    name = row.get("name", "")
    if isinstance(name, str) and not NAME.fullmatch(name):
        yield f"name: {name!r}: wanted are 1 to 40 small letters, digits, - and _, a letter or digit first"
    for field in ("title_en", "title_zh"):
        title = row.get(field, "-")
        if isinstance(title, str) and not 1 <= len(title.strip()) <= MAX_TITLE_CHARS:
            yield f"{field}: has 1 to {MAX_TITLE_CHARS} characters"
    for company in _strings(row, "companies"):
        if company not in companies:
            meant = link(company)
            yield f"companies: {company!r} is not known; " + (
                f"did you mean {meant!r}?" if meant else "`tocsin companies link NAME` says the key of a company"
            )
    for topic in _strings(row, "topics"):
        if topic not in topics:
            near = difflib.get_close_matches(topic, topics, 1)
            yield f"topics: {topic!r} is not known; " + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(topics))}")
    yield from _twice("companies", _strings(row, "companies"))
    yield from _twice("topics", _strings(row, "topics"))
    yield from _keywords(row)


def _keywords(row: dict[str, Any]) -> Iterator[str]:
    terms, given = [], _strings(row, "keywords")
    wrong = False
    for written in given:
        try:
            terms.append(parse(written))
        except ValueError as error:
            wrong = True
            yield f"keywords: {written!r} {error}"
    yield from _twice("keywords", given)
    shut: dict[str, Term] = {word: term for term in terms if term.sign == "!" for word in keys_of(term)}
    for term in terms:
        own = set(keys_of(term))
        if term.sign != "!" and own <= shut.keys():
            wrong = True
            yield f"keywords: {term.written!r} is shut out by {shut[min(own)].written!r}"
    if not wrong and not any(not term.sign for term in terms) and not _strings(row, "companies") and not _strings(row, "topics"):
        signed = " beside those with + and !" if terms else ""
        yield f"looks for nothing: give companies, topics or a keyword without a sign{signed}"


def _twice(field: str, given: Sequence[str]) -> Iterator[str]:
    for value in sorted({value for value in given if given.count(value) > 1}):
        yield f"{field}: {value!r} is given twice"


def _strings(row: dict[str, Any], field: str) -> list[str]:
    """The strings of a list, none where there is something else: that is told apart."""
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
        terms=tuple(parse(written) for written in row.get("keywords", ())),
    )
