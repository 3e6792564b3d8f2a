"""Registry of model versions: which one is the champion, which were before it, and why. Needs no torch.

    DATA_DIR/models/versions/VERSION/   a version folder (models/registry/manifest.py), its manifest written last
                    champion            name of the current version; without the file it is the shipped one
                    history.jsonl       promotions, rejections and rollbacks with time and reason; append-only

`champion` is replaced by rename, so a reader sees either the old name or the new one. The history is written first: after a crash
between the two it has a line about a change that did not happen, which `rollback` ignores.
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
from core.files import locked, write_atomically

if TYPE_CHECKING:
    from models.registry.manifest import Manifest

CHECKPOINT = ".checkpoint"
"""Suffix of the folder of a training run in progress, beside the version that it will write."""
SHIPPED = "shipped"
"""Name of the version that comes with Tocsin; it is never deleted."""
KEPT_REJECTED = 3
"""Number of rejected challengers kept on disk, for inspection; each takes about 40 MB."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Action = Literal["promote", "keep", "rollback"]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"origin": "from"}):
    """One line of the history.

    action: "promote", "keep" (the champion was kept, `version` was rejected) or "rollback"
    version: the version promoted, rejected or restored; origin: the champion before ("from" in the file)
    labels_until: end of the analysts' labels that a refresh used; None if it was not a refresh
    actor: the person who did it; "" for the promotion gate
    """

    when: datetime
    action: Action
    version: str
    origin: str
    why: str
    labels_until: datetime | None = None
    actor: str = ""


class VersionEntry(NamedTuple):
    """One version on disk. fault: why it cannot be used according to its manifest, or ""."""

    version: str
    folder: Path
    champion: bool
    manifest: Manifest | None
    fault: str


class Versions:
    """The versions of one installation.

    Args:
        data_dir: data folder of the installation.
        shipped: folder of the model that comes with Tocsin; None for the real one.
    """

    def __init__(self, data_dir: Path, *, shipped: Path | None = None) -> None:
        self.root = data_dir / "models"
        self.champion_file = self.root / "champion"
        self._shipped = shipped if shipped is not None else Path(__file__).parents[1] / "weights"

    def folder(self, version: str) -> Path:
        """The folder of a version, which need not exist. Raises ModelError for an invalid name."""
        if version == SHIPPED:
            return self._shipped
        if not _NAME.fullmatch(version):
            message = f"model version {version!r}: a name has only letters, digits, dots, hyphens and underscores; see `tocsin models list`"
            raise ModelError(message)
        return self.root / "versions" / version

    def champion(self) -> str:
        """Name of the current version. Raises ModelError when the champion file cannot be read or has no valid name."""
        try:
            name = self.champion_file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return SHIPPED
        except (OSError, UnicodeDecodeError) as error:
            message = f"{self.champion_file}: cannot be read ({error}); `tocsin models rollback` restores a complete version"
            raise ModelError(message) from error
        if name != SHIPPED and not _NAME.fullmatch(name):
            message = f"{self.champion_file}: not the name of a version; `tocsin models rollback` restores a complete version"
            raise ModelError(message)
        return name

    def open(self, version: str) -> Manifest:
        """Verify all files of a version and return its manifest. Raises ModelError that names the invalid file."""
        from models.registry.manifest import read_verified

        folder = self.folder(version)
        if not folder.is_dir():
            message = f"model version {version!r} is not in {folder.parent}; `tocsin models list` shows the available versions"
            raise ModelError(message)
        manifest, _ = read_verified(folder)
        if version not in (SHIPPED, manifest.version):
            message = f"{folder}: its manifest has the version {manifest.version!r}; the folder must have the same name"
            raise ModelError(message)
        return manifest

    def entries(self) -> list[VersionEntry]:
        """All versions: the shipped one, then the others, newest last. Their files are not verified."""
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

    def _entry(self, version: str, champion: str) -> VersionEntry:
        from models.registry.manifest import read_manifest

        folder = self.folder(version)
        try:
            manifest = read_manifest(folder)
        except ModelError as error:
            return VersionEntry(version, folder, version == champion, None, str(error))
        return VersionEntry(version, folder, version == champion, manifest, "")

    def promote(
        self,
        version: str,
        *,
        now: datetime,
        why: str,
        expected: str | None = None,
        labels_until: datetime | None = None,
        actor: str = "",
    ) -> HistoryEntry | None:
        """Make a version the champion after verifying its files.

        Args:
            version: the version to promote.
            now: time of the promotion.
            why: reason, for the history.
            expected: the champion against which the version was compared; None to skip the check.
            labels_until: end of the labels that a refresh used.
            actor: the person who promotes it; "" for the gate.

        Returns:
            The history entry; None if the version is already the champion.

        Raises:
            ModelError: the version is incomplete, or the champion is no longer `expected`.
        """
        self.open(version)
        with locked(self.root / "lock"):
            origin = self._champion_or_fault()
            if origin == version:
                return None
            if expected is not None and origin != expected:
                message = (
                    f"model version {version!r} was compared with {expected!r}, but the champion is now {origin!r}: run the refresh again"
                )
                raise ModelError(message)
            event = HistoryEntry(
                when=now, action="promote", version=version, origin=origin, why=why, labels_until=labels_until, actor=actor
            )
            return self._set_champion(event)

    def rollback(self, *, now: datetime, why: str, expected: str | None = None, actor: str = "") -> HistoryEntry:
        """Return to the previous champion, skipping versions that are damaged or missing.

        Args:
            now: time of the rollback.
            why: reason, for the history.
            expected: the champion to be replaced; None to skip the check.
            actor: the person who does it.

        Raises:
            ModelError: there is no previous champion, or the champion is no longer `expected`.
        """
        with locked(self.root / "lock"):
            origin = self._champion_or_fault()
            if expected is not None and origin != expected:
                message = f"the champion is now {origin!r}, not {expected!r}: it was changed meanwhile; check again"
                raise ModelError(message)
            faults = []
            for version in self._before(origin):
                try:
                    self.open(version)
                except ModelError as error:
                    faults.append(str(error))
                    continue
                why_all = "; ".join([why, *(f"skipped: {fault}" for fault in faults)])
                return self._set_champion(
                    HistoryEntry(when=now, action="rollback", version=version, origin=origin, why=why_all, actor=actor)
                )
        if faults:
            message = f"no version before {origin!r} is complete: {'; '.join(faults)}"
            raise ModelError(message)
        message = f"the champion is {origin!r} and there is no earlier one: nothing to roll back to"
        raise ModelError(message)

    def keep(self, version: str, *, now: datetime, why: str, labels_until: datetime | None = None) -> HistoryEntry:
        """Record that a challenger was rejected, and delete the folders of older rejected ones."""
        with locked(self.root / "lock"):
            event = HistoryEntry(
                when=now, action="keep", version=version, origin=self._champion_or_fault(), why=why, labels_until=labels_until
            )
            self._append_history(event)
            self._prune()
        return event

    def before(self) -> str:
        """The version that `rollback` tries first; "" if there is none."""
        return next(iter(self._before(self._champion_or_fault())), "")

    def history(self) -> list[HistoryEntry]:
        """All history entries, oldest first; an incomplete line left by a crash is skipped."""
        try:
            lines = (self.root / "history.jsonl").read_bytes().splitlines()
        except FileNotFoundError:
            return []
        events = []
        for line in lines:
            try:
                events.append(msgspec.json.decode(line, type=HistoryEntry))
            except msgspec.MsgspecError:
                continue
        return events

    def _champion_or_fault(self) -> str:
        """The champion; "" if the file is damaged, as it is about to be replaced."""
        try:
            return self.champion()
        except ModelError:
            return ""

    def _before(self, champion: str) -> list[str]:
        """Earlier champions, latest first and "shipped" last, without `champion`."""
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

    def _set_champion(self, event: HistoryEntry) -> HistoryEntry:
        self._append_history(event)
        write_atomically(self.champion_file, f"{event.version}\n".encode())
        return event

    def _append_history(self, event: HistoryEntry) -> None:
        path = self.root / "history.jsonl"
        with path.open("a+b") as file:
            incomplete = os.fstat(file.fileno()).st_size > 0 and _last_byte(path) != b"\n"
            file.write((b"\n" if incomplete else b"") + msgspec.json.encode(event) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _prune(self) -> None:
        events = self.history()
        kept = {event.version for event in events if event.action != "keep"} | {event.origin for event in events}
        kept.add(self._champion_or_fault())
        rejected = [event.version for event in events if event.action == "keep" and event.version not in kept]
        for version in list(dict.fromkeys(reversed(rejected)))[KEPT_REJECTED:]:
            if version != SHIPPED:
                shutil.rmtree(self.folder(version), ignore_errors=True)


def _may_be_version(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not name.endswith(CHECKPOINT)


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)
