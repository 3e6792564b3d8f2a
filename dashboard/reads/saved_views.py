"""Saved views: who may keep and drop which, and what of an address is kept. Personal taste (language, colours) is not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from actions.account_service import AccountService
from core.errors import Conflict, InvalidInput, NotFound
from core.untrusted_text import plain
from dashboard.web.authentication import local_path
from dashboard.web.sessions import Person
from storage.store import SavedView, Store

MAX_NAME_CHARS, MAX_ADDRESS_CHARS = 60, 2_000
MOST = 100
"""Views of one person: a menu is no archive."""
TASTE = ("lang", "colours", "before")
"""Parameters of an address that are the viewer's own, or of one moment."""


def kept_address(path: object, search: object) -> str:
    """What is kept of a page's address, "" for one that is none of ours."""
    if not isinstance(path, str) or local_path(path) != path or "?" in path:
        return ""
    asked = parse_qsl(search.removeprefix("?")) if isinstance(search, str) and len(search) <= MAX_ADDRESS_CHARS else []
    query = urlencode([(name, value) for name, value in asked if name not in TASTE], safe=",")
    address = f"{path}?{query}" if query else path
    return address if len(address) <= MAX_ADDRESS_CHARS else ""


class SavedViewActions:
    """The views of everybody. Each change is noted in the audit log. Raises UserError for what cannot be done, and StoreError."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._people = AccountService(store, now)

    def of(self, person: Person) -> list[SavedView]:
        """The team's views and the person's own, by name."""
        return [view for view in self._store.saved_views.all() if view.team or view.owner == person.name]

    def save(self, person: Person, name: str, path: object, search: object, *, team: bool) -> SavedView:
        """Keep an address under a name, in place of the person's own of that name."""
        named = plain(name, MAX_NAME_CHARS)
        address = kept_address(path, search)
        if not named:
            raise InvalidInput("name")
        if not address:
            raise InvalidInput("address")
        known = self._store.saved_views.all()
        own = [view for view in known if view.owner == person.name]
        made = SavedView(owner=person.name, name=named, address=address, team=team, at=self._now())
        if len(own) >= MOST and made.id not in {view.id for view in own}:
            raise Conflict("many")
        before = next((view.address for view in own if view.id == made.id), "")
        self._store.saved_views.put([made])
        self._people.audit(person.name, "view saved", named, before=before, after=address, address="dashboard")
        return made

    def drop(self, person: Person, view_id: str) -> None:
        """Forget a view: one's own, and an admin anybody's of the team."""
        found = next((view for view in self._store.saved_views.all() if view.id == view_id), None)
        if found is None or not may_drop(person, found):
            raise NotFound("gone" if found is None else "others")
        self._store.saved_views.put([found], gone=True)
        self._people.audit(person.name, "view dropped", found.name, before=found.address, address="dashboard")


def may_drop(person: Person, view: SavedView) -> bool:
    """Whether somebody may forget a view."""
    return view.owner == person.name or (person.role == "admin" and view.team)
