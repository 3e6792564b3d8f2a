"""Which version of the model is in force, which were before it, and why? Files only; no torch until a version is opened.

    DATA_DIR/models/versions/VERSION/   a version folder (models/registry/manifest.py), its manifest written last
                    champion            the name of the version in force; not there: the shipped one
                    history.jsonl       what was promoted, kept back or rolled back, when and why; only ever added to

`champion` is moved by rename, so a reader sees the old name or the new one. The history is written before it: what a crash
leaves between the two is a line about a move that did not happen, and `rollback` passes over it.
"""

from __future__ import annotations

import os
import re
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from core.errors import ModelError
from core.files import locked, write_whole

if TYPE_CHECKING:
    from models.registry.manifest import Manifest

CHECKPOINT = ".checkpoint"
"""What the folder of a training that is under way ends with: it lies beside the version it will be."""
SHIPPED = "shipped"
"""The name of the version that comes with Tocsin: always there, never deleted."""
KEPT_LOSERS = 3
"""Challengers that were not promoted stay on disk this many: one may still be looked at, and each takes some 40 MB."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Action = Literal["promote", "keep", "rollback"]


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"origin": "from"}):
    """One line of the history.

    version: promoted, kept back, or gone back to; origin: the champion until then ("from" in the file)
    labels_until: where a refresh read labels of people up to; None when it was no refresh
    who: the person who did it; "" for the gate, and for what was done before persons were kept
    """

    when: datetime
    action: Action
    version: str
    origin: str
    why: str
    labels_until: datetime | None = None
    who: str = ""


class Entry(NamedTuple):
    """One version on disk. fault: why it cannot be used, "" when it can, as far as its manifest tells."""

    version: str
    folder: Path
    champion: bool
    manifest: Manifest | None
    fault: str


class Versions:
    """The versions of one installation. shipped: the folder of the model that comes with Tocsin; None is the real one."""

    def __init__(self, data_dir: Path, *, shipped: Path | None = None) -> None:
        self.root = data_dir / "models"
        self.champion_file = self.root / "champion"
        self._shipped = shipped if shipped is not None else Path(__file__).parents[1] / "weights"

    def folder(self, version: str) -> Path:
        """Where a version lies, or would. Raises ModelError for a name that no version can have."""
        if version == SHIPPED:
            return self._shipped
        if not _NAME.fullmatch(version):
            message = f"model version {version!r}: a name has letters, digits, points, hyphens and underscores only; `tocsin models list`"
            raise ModelError(message)
        return self.root / "versions" / version

    def champion(self) -> str:
        """The version in force. Raises ModelError when the file that names it cannot be read or names none."""
        try:
            name = self.champion_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return SHIPPED
        except (OSError, UnicodeDecodeError) as error:
            message = f"{self.champion_file}: cannot be read ({error}); `tocsin models rollback` goes back to a version that is whole"
            raise ModelError(message) from error
        if name != SHIPPED and not _NAME.fullmatch(name):
            message = f"{self.champion_file}: names no version; `tocsin models rollback` goes back to a version that is whole"
            raise ModelError(message)
        return name

    def open(self, version: str) -> Manifest:
        """The manifest of a version, every byte of it checked. Raises ModelError naming the file that is wrong."""
        from models.registry.manifest import read_verified

        folder = self.folder(version)
        if not folder.is_dir():
            message = f"model version {version!r} is not in {folder.parent}; `tocsin models list` shows what is there"
            raise ModelError(message)
        manifest, _ = read_verified(folder)
        if version not in (SHIPPED, manifest.version):
            message = f"{folder}: its manifest calls it {manifest.version!r}; the folder of a version has its name"
            raise ModelError(message)
        return manifest

    def entries(self) -> list[Entry]:
        """The shipped version, and the others with the newest last; their files are not checked here."""
        names = [SHIPPED]
        if (self.root / "versions").is_dir():
            names += sorted(path.name for path in (self.root / "versions").iterdir() if path.is_dir() and _may_be_version(path.name))
        try:
            champion = self.champion()
        except ModelError:
            champion = ""
        found = [self._entry(name, champion) for name in names]
        dated = [entry for entry in found[1:] if entry.manifest is not None]
        return [
            found[0],
            *(entry for entry in found[1:] if entry.manifest is None),
            *sorted(dated, key=lambda entry: entry.manifest.created if entry.manifest else datetime.max),
        ]

    def _entry(self, version: str, champion: str) -> Entry:
        from models.registry.manifest import read_manifest

        folder = self.folder(version)
        try:
            manifest = read_manifest(folder)
        except ModelError as error:
            return Entry(version, folder, version == champion, None, str(error))
        return Entry(version, folder, version == champion, manifest, "")

    def promote(
        self,
        version: str,
        *,
        now: datetime,
        why: str,
        expected: str | None = None,
        labels_until: datetime | None = None,
        who: str = "",
    ) -> Event | None:
        """Make `version` the champion, once every byte of it was checked; None when it is already.

        expected: the champion that the decision was made against. Raises ModelError when that has changed, or the version is not whole.
        """
        self.open(version)
        with locked(self.root / "lock"):
            origin = self._champion_or_fault()
            if origin == version:
                return None
            if expected is not None and origin != expected:
                message = (
                    f"model version {version!r} was measured against {expected!r}, but the champion is {origin!r} by now: refresh again"
                )
                raise ModelError(message)
            event = Event(when=now, action="promote", version=version, origin=origin, why=why, labels_until=labels_until, who=who)
            return self._move(event)

    def rollback(self, *, now: datetime, why: str, expected: str | None = None, who: str = "") -> Event:
        """Go back to the champion before this one; past any that is damaged or gone. Raises ModelError when there is none before it.

        expected: the champion that somebody wants to be rid of; ModelError when it is another by now.
        """
        with locked(self.root / "lock"):
            origin = self._champion_or_fault()
            if expected is not None and origin != expected:
                message = f"the champion is {origin!r} by now, no longer {expected!r}: somebody else was quicker; look at it again"
                raise ModelError(message)
            faults = []
            for version in self._before(origin):
                try:
                    self.open(version)
                except ModelError as error:
                    faults.append(str(error))
                    continue
                why_all = "; ".join([why, *(f"passed over: {fault}" for fault in faults)])
                return self._move(Event(when=now, action="rollback", version=version, origin=origin, why=why_all, who=who))
        if faults:
            message = f"no version before {origin!r} is whole: {'; '.join(faults)}"
            raise ModelError(message)
        message = f"the champion is {origin!r} and no other was before it: there is nothing to go back to"
        raise ModelError(message)

    def keep(self, version: str, *, now: datetime, why: str, labels_until: datetime | None = None) -> Event:
        """Note that a challenger was not promoted, and delete the folders of older ones of its kind."""
        with locked(self.root / "lock"):
            event = Event(when=now, action="keep", version=version, origin=self._champion_or_fault(), why=why, labels_until=labels_until)
            self._note(event)
            self._prune()
        return event

    def before(self) -> str:
        """The version that `rollback` tries first; "" when none was before the champion."""
        return next(iter(self._before(self._champion_or_fault())), "")

    def history(self) -> list[Event]:
        """What happened, oldest first; a line that a crash cut short is left out."""
        try:
            lines = (self.root / "history.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        events = []
        for line in lines:
            try:
                events.append(msgspec.json.decode(line, type=Event))
            except msgspec.MsgspecError:
                continue
        return events

    def _champion_or_fault(self) -> str:
        """The champion; "" when the file is damaged: it is about to be replaced."""
        try:
            return self.champion()
        except ModelError:
            return ""

    def _before(self, champion: str) -> list[str]:
        """Earlier champions, the latest first, "shipped" last, without `champion` itself."""
        stack = [SHIPPED]
        for event in self.history():
            if event.action == "promote":
                stack.append(event.version)
            elif event.action == "rollback":
                while len(stack) > 1 and stack[-1] != event.version:
                    stack.pop()
        if champion in stack:
            while stack[-1] != champion:
                stack.pop()
            stack.pop()
        return [version for version in dict.fromkeys([*reversed(stack), SHIPPED]) if version != champion]

    def _move(self, event: Event) -> Event:
        self._note(event)
        write_whole(self.champion_file, f"{event.version}\n".encode())
        return event

    def _note(self, event: Event) -> None:
        path = self.root / "history.jsonl"
        with path.open("a+b") as file:
            torn = file.tell() > 0 and _last_byte(path) != b"\n"
            file.write((b"\n" if torn else b"") + msgspec.json.encode(event) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _prune(self) -> None:
        events = self.history()
        safe = {event.version for event in events if event.action != "keep"} | {event.origin for event in events}
        safe.add(self._champion_or_fault())
        losers = [event.version for event in events if event.action == "keep" and event.version not in safe]
        for version in list(dict.fromkeys(reversed(losers)))[KEPT_LOSERS:]:
            if version != SHIPPED:
                shutil.rmtree(self.folder(version), ignore_errors=True)


def _may_be_version(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.endswith(CHECKPOINT)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
