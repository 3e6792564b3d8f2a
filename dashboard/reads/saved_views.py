"""Saved views: permissions, and which part of an address is saved. Personal options (language, colours) are not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qsl, urlencode

from actions.account_service import AccountService
from core.errors import Conflict, InvalidInput, NotFound
from core.untrusted_text import local_path, plain
from domain.accounts import Person
from storage.store import SavedView, Store

MAX_NAME_CHARS, MAX_ADDRESS_CHARS = 60, 2_000
MOST = 100
"""Maximum number of views of one person."""
TASTE = ("lang", "colours", "before")
"""Parameters of an address that are not saved."""


def kept_address(path: object, search: object) -> str:
    """The part of a page's address that is saved; "" for an address outside the dashboard."""
    if not isinstance(path, str) or local_path(path) != path or "?" in path:
        return ""
    asked = parse_qsl(search.removeprefix("?")) if isinstance(search, str) and len(search) <= MAX_ADDRESS_CHARS else []
    query = urlencode([(name, value) for name, value in asked if name not in TASTE], safe=",")
    address = f"{path}?{query}" if query else path
    return address if len(address) <= MAX_ADDRESS_CHARS else ""


class SavedViewActions:
    """Lists, saves and deletes views. Changes are written to the audit log. Raises UserError, StoreError."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now
        self._people = AccountService(store, now)

    def of(self, person: Person) -> list[SavedView]:
        """The team's views and the person's own, sorted by name."""
        return [view for view in self._store.saved_views.all() if view.team or view.owner == person.name]

    def save(self, person: Person, name: str, path: object, search: object, *, team: bool) -> SavedView:
        """Save an address under a name, replacing the person's view of that name."""
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
        """Delete a view: one's own, or as an admin any view of the team."""
        found = next((view for view in self._store.saved_views.all() if view.id == view_id), None)
        if found is None or not may_drop(person, found):
            raise NotFound("gone" if found is None else "others")
        self._store.saved_views.put([found], deleted=True)
        self._people.audit(person.name, "view dropped", found.name, before=found.address, address="dashboard")


def may_drop(person: Person, view: SavedView) -> bool:
    """Whether a person may delete a view."""
    return view.owner == person.name or (person.role == "admin" and view.team)
