"""Which articles the entries of a feed are: new ones, or versions of those of earlier visits. Pure.

    entries ─▶ keys ─▶ repeats within the document dropped ─▶ matched with the entries of earlier visits ─▶ ids of the new ones

No single field identifies an entry: some feeds give all entries one link, some repeat a guid ("N/A"), some write another guid at every
visit. So a field only counts where it is unambiguous: one entry of the document and one earlier entry have it. The steps of `MATCHES`
are tried one after another, from the strongest evidence to the weakest. An entry that matches none is a new article, identified by
the first of link, guid, and all fields together that no other entry has. Nothing depends on the order of the entries.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from core.records import article_id, hash63, sha, source_owner
from ingest.crawl.feeds import Entry
from ingest.kafka.outbox import EntryKeys, SeenEntry
from ingest.text.urls import canonical, page_key

NOT_GUIDS = frozenset(("n/a", "na", "none", "null", "nil", "nan", "undefined", "unknown", "guid", "id", "-", "0", "false", "#"))
"""What some feeds write where they have no guid."""
_VERSION = re.compile(r"#\d+\Z")
"""The number of a version behind a guid that is the link: "https://site.example/a#0", then "…#3"."""


class Identified(NamedTuple):
    """An entry of a document.

    Attributes:
        place: in the document, counted from 0
        known: the earlier entry of the same article; None for a new one
        link, guid: what identifies a new article: its canonical link, else its guid, else ("" and "") `key`
        key: of a new article without either
    """

    entry: Entry
    place: int
    keys: EntryKeys
    known: SeenEntry | None = None
    link: str = ""
    guid: str = ""
    key: str = ""

    def article_id(self, source: str, owner: str) -> str:
        """Id of its article for an owner, "" for the source alone. That of a known article is `known.id`."""
        if self.link or self.guid:
            return article_id(url=self.link, source=source, guid=self.guid, title="", published_at=datetime.min, owner=owner)
        return sha("entry", owner or source_owner(source), self.key)


class Document(NamedTuple):
    """The entries of a document, in its order, and those that repeat another one completely."""

    entries: list[Identified]
    repeated: list[Identified]


def keys_of(entry: Entry) -> EntryKeys:
    """The keys of an entry. The first page of a site is no link of an article."""
    guid = entry.guid.strip()
    guid = "" if guid.lower() in NOT_GUIDS else guid
    link = page_key(entry.link)
    base = _VERSION.sub("", guid)
    return EntryKeys(
        guid=_hash(guid),
        guid_base=0 if base != guid and page_key(base) == link else _hash(guid),
        link=_hash(link),
        page=_hash(link.partition("#")[0]),
        title=_hash(" ".join((entry.title.strip() or entry.summary).split())),
        time=_hash(entry.published.strip()),
        raw=_hash(f"{entry.title}\n{entry.summary}"),
    )


def _hash(text: str) -> int:
    """63 bits; 0 for no text."""
    return hash63(text) if text else 0


def identify(entries: Sequence[Entry], keys: Sequence[EntryKeys], seen: Iterable[SeenEntry]) -> Document:
    """Identify the entries of a document.

    Args:
        entries: the whole document, also what will not be read: it shows which fields are repeated.
        keys: of each entry.
        seen: the entries of earlier visits that share a guid, a page or a title with them.
    """
    unique, repeated = _without_repeats(entries, keys)
    known = [each for each in seen if not each.skipped]
    matches = _matches(unique, known)
    new = _new_identities([each for each in unique if each.place not in matches], unique, known)
    return Document([new[each.place] if each.place in new else each._replace(known=matches[each.place]) for each in unique], repeated)


def _without_repeats(entries: Sequence[Entry], keys: Sequence[EntryKeys]) -> tuple[list[Identified], list[Identified]]:
    """Of entries that differ in nothing but their time, the one whose time sorts last is kept."""
    groups: dict[Hashable, list[Identified]] = defaultdict(list)
    for place, (entry, own) in enumerate(zip(entries, keys, strict=True)):
        groups[_address_and_title(own), own.raw].append(Identified(entry, place, own))
    kept = {max(group, key=lambda each: (each.entry.published, -each.place)).place for group in groups.values()}
    every = sorted((each for group in groups.values() for each in group), key=lambda each: each.place)
    return [each for each in every if each.place in kept], [each for each in every if each.place not in kept]


# what identifies a version of an article, strongest first

Key = Callable[[EntryKeys], Hashable]
Test = Callable[[EntryKeys, EntryKeys], bool]


def _guid_differs(one: EntryKeys, other: EntryKeys) -> bool:
    return bool(one.guid_base and other.guid_base) and one.guid_base != other.guid_base


def _time_differs(one: EntryKeys, other: EntryKeys) -> bool:
    return bool(one.time and other.time) and one.time != other.time


def _has_address(keys: EntryKeys) -> bool:
    return bool(keys.guid or keys.link)


def _address_and_title(keys: EntryKeys) -> Hashable:
    return keys.guid, keys.link, keys.title


def _all(*names: str) -> Key:
    """The fields, where all of them are there."""
    return lambda keys: found if all(found := tuple(getattr(keys, name) for name in names)) else None


MATCHES: tuple[tuple[Key, Test], ...] = (
    (lambda keys: keys, lambda _one, _other: True),
    # a feed that writes the time of the visit
    (lambda keys: (_address_and_title(keys), keys.raw), lambda one, other: _has_address(one) or not _time_differs(one, other)),
    (lambda keys: (_address_and_title(keys), keys.time), lambda _one, _other: True),  # another text
    (_address_and_title, lambda one, other: _has_address(one) or not _time_differs(one, other)),
    (_all("guid", "link"), lambda _one, _other: True),  # another title
    # another guid: an article, unless its text and its time differ too
    (_all("link", "title"), lambda one, other: not (_guid_differs(one, other) and _time_differs(one, other) and one.raw != other.raw)),
    # an anchor more or less
    (_all("page", "title"), lambda one, other: one.page in (one.link, other.link) and not _guid_differs(one, other)),
    # another title: with another guid it is a new article on the same page, if its time differs too
    (_all("link"), lambda one, other: not (_guid_differs(one, other) and _time_differs(one, other))),
    # another link: with another title or time it is a new article
    (_all("guid"), lambda one, other: not _time_differs(one, other) and (one.title == other.title or not (one.link and other.link))),
    # no links: another guid with the same text, or none
    (lambda keys: (keys.title, keys.raw) if not keys.link else None, lambda one, other: not _time_differs(one, other)),
    (
        lambda keys: keys.title if keys.title and not keys.link else None,
        lambda one, other: not _time_differs(one, other) and not _guid_differs(one, other),
    ),
)
"""(key, test) of each step: entries with the same key are versions of one article, if no other entry of the document and no other
earlier entry has it, and the test of the two holds."""


def _matches(entries: Sequence[Identified], known: Sequence[SeenEntry]) -> dict[int, SeenEntry]:
    """The earlier entry of each entry that has one, by place."""
    found: dict[int, SeenEntry] = {}
    taken: set[str] = set()
    for key, holds in MATCHES:
        if len(found) == len(entries) or len(taken) == len(known):
            break
        now, before = defaultdict(list), defaultdict(list)
        for each in entries:
            now[key(each.keys)].append(each)
        for seen in known:
            before[key(seen.keys)].append(seen)
        for value, group in now.items():
            if value is None or len(group) != 1 or len(before[value]) != 1:
                continue
            (entry,), (seen,) = group, before[value]
            if entry.place not in found and seen.id not in taken and holds(entry.keys, seen.keys):
                found[entry.place] = seen
                taken.add(seen.id)
    return found


def _new_identities(new: Sequence[Identified], entries: Sequence[Identified], known: Sequence[SeenEntry]) -> dict[int, Identified]:
    """The new entries with what identifies them, by place."""
    if not new:
        return {}
    every = [*(each.keys for each in entries), *(seen.keys for seen in known)]
    links, guids = Counter(keys.link for keys in every), Counter(keys.guid for keys in every)
    combined = [(fields, Counter(map(fields, every))) for fields in _COMBINED]
    found = {}
    for each in new:
        if each.keys.link and links[each.keys.link] == 1:
            found[each.place] = each._replace(link=canonical(each.entry.link))
        elif each.keys.guid and guids[each.keys.guid] == 1:
            found[each.place] = each._replace(guid=each.entry.guid.strip())
        else:
            alone = (fields(each.keys) for fields, counts in combined if counts[fields(each.keys)] == 1)
            found[each.place] = each._replace(key=" ".join(map(str, next(alone, each.keys))))
    return found


_COMBINED: tuple[Callable[[EntryKeys], tuple[int, ...]], ...] = (
    lambda keys: (keys.guid, keys.link, keys.title),
    lambda keys: (keys.guid, keys.link, keys.title, keys.time),
)
"""Combinations of fields that identify a new entry where no other one has them; else all fields do."""


def newest(entries: Sequence[Identified], times: Sequence[datetime | None], limit: int) -> tuple[list[Identified], list[Identified]]:
    """The entries to read and those to pass over, both in the document's order.

    The newest are read, whatever their order. An entry without a time has that of the dated one before it, else after it. Of a document
    without any time, and of entries of one time, those not seen before are read first: so none is passed over for good.

    Args:
        times: of each entry; None: unknown.
        limit: how many are read.
    """
    if len(entries) <= limit:
        return list(entries), []
    dated = [moment for moment in times if moment is not None]
    last = dated[0] if dated else None
    ranked = []
    for place, (each, moment) in enumerate(zip(entries, times, strict=True)):
        last = moment or last
        ranked.append((-last.timestamp() if last else 0.0, each.known is not None, place))
    read = {place for _, _, place in sorted(ranked)[:limit]}
    return [each for n, each in enumerate(entries) if n in read], [each for n, each in enumerate(entries) if n not in read]
