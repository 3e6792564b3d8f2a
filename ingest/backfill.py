"""Archives -> Kafka, with an end that can be believed: what was counted as published was acknowledged.

    files.read ─▶ Sender ─▶ acknowledged line by line ─▶ progress file: the line below which everything is done

Interrupted at any point, the next run goes on after that line; a few rows are sent twice, and ids make that harmless.
"""

from __future__ import annotations

import hashlib
import heapq
import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from ingest.entities import Gazetteer
from ingest.files import Reading, Rejected, read
from ingest.kafka import Sender
from spine.errors import BrokerError, SettingsError
from spine.log import get_logger
from spine.records import encode

MAX_REJECTED_KEPT = 1_000
SAVE_EVERY_S = 1.0
GIVE_UP_S = 300.0

log = get_logger(__name__)


class FileRejected(msgspec.Struct, frozen=True):
    """A row that was set aside."""

    path: str
    line: int
    reason: str


class Report(msgspec.Struct):
    """What a backfill did. rejected: the first MAX_REJECTED_KEPT of rejected_count. resumed: lines that earlier runs had done."""

    read: int = 0
    published: int = 0
    rejected_count: int = 0
    rejected: list[FileRejected] = msgspec.field(default_factory=list)
    resumed: int = 0
    interrupted: bool = False


class _Progress(msgspec.Struct):
    """Of one file. done: everything up to this line was acknowledged or set aside."""

    path: str
    done: int = 0
    complete: bool = False


class _State:
    """The progress file: a small JSON table by file identity, replaced whole so that it is never half written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._files = msgspec.json.decode(path.read_bytes(), type=dict[str, _Progress])
        except FileNotFoundError:
            self._files = {}
        except (msgspec.DecodeError, OSError) as error:
            raise SettingsError(f"the progress file {path} cannot be read ({error}); delete it to begin again") from error

    def of(self, key: str, path: str) -> _Progress:
        return self._files.setdefault(key, _Progress(path))

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_name(self._path.name + ".new")
        with new.open("wb") as stream:
            stream.write(msgspec.json.encode(self._files))
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._path)


def backfill(
    paths: Sequence[str],
    sender: Sender,
    state_file: Path,
    *,
    reading: Reading,
    gazetteer: Gazetteer,
    now: datetime,
    progress: Callable[[str, Report], None] | None = None,
    stop: threading.Event | None = None,
) -> Report:
    """Publish all rows of `paths`. Returns when everything is acknowledged, or when `stop` is set (then `interrupted` is true).

    progress: called with the path and the report so far, about twice a second and at each file's end
    Raises SettingsError for a file that cannot be read, BrokerError when nothing was acknowledged for five minutes.
    """
    report, state = Report(), _State(state_file)
    for path in paths:
        known = state.of(identity(path), path) if path != "-" else _Progress(path)
        _File(path, known, sender, state, report, progress, stop or threading.Event()).publish(reading, gazetteer, now)
        if report.interrupted:
            break
    return report


def identity(path: str) -> str:
    """A file's identity: path, size, time of change and a hash of its first 64 kB. Raises SettingsError when it cannot be read."""
    try:
        place = Path(path).resolve(strict=True)
        facts = place.stat()
        with place.open("rb") as stream:
            head = hashlib.sha256(stream.read(65_536)).hexdigest()[:16]
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror or error})") from error
    return f"{place}|{facts.st_size}|{facts.st_mtime_ns}|{head}"


class _File:
    """One file on its way. Tokens are line numbers: unique in a file, and all of a file's rows end before the next begins."""

    def __init__(
        self,
        path: str,
        known: _Progress,
        sender: Sender,
        state: _State,
        report: Report,
        progress: Callable[[str, Report], None] | None,
        stop: threading.Event,
    ) -> None:
        self._path = path
        self._known = known
        self._sender = sender
        self._state = state
        self._report = report
        self._progress = progress
        self._stop = stop
        self._open: list[int] = []  # heap of lines sent
        self._ended: set[int] = set()
        self._again: dict[int, tuple[bytes, bytes]] = {}  # what was sent, until it is acknowledged
        self._last_line = known.done
        self._saved_at = self._told_at = self._moved_at = time.monotonic()

    def publish(self, reading: Reading, gazetteer: Gazetteer, now: datetime) -> None:
        if self._known.complete:
            self._report.resumed += self._known.done
            return
        self._report.resumed += self._known.done
        for row in read(self._path, reading, gazetteer=gazetteer, now=now, after=self._known.done):
            if self._stop.is_set():
                break
            self._report.read += 1
            if isinstance(row, Rejected):
                self._reject(row.line, row.reason)
            else:
                message = (row.article.id.encode(), encode(row.article))
                self._again[row.line] = message
                heapq.heappush(self._open, row.line)
                self._send(row.line, *message)
            self._last_line = row.line
            if self._report.read % 64 == 0:
                self._settle()
        self._report.interrupted = self._stop.is_set()
        while self._again and not self._waited_enough():
            self._settle()
            self._sender.wake.wait(0.05)
        self._known.complete = not self._again and not self._report.interrupted
        self._note(finished=True)

    def _waited_enough(self) -> bool:
        """On interruption, what is in flight gets a few seconds."""
        return self._report.interrupted and time.monotonic() - self._moved_at > 5.0

    def _send(self, line: int, key: bytes, value: bytes) -> None:
        while True:
            while not self._sender.has_room():
                self._settle()
                if not self._sender.has_room():
                    self._sender.wake.wait(0.05)
            try:
                self._sender.send(line, key, value)
                return
            except BrokerError as error:
                self._patience(error)

    def _patience(self, error: BrokerError) -> None:
        if time.monotonic() - self._moved_at > GIVE_UP_S or self._stop.wait(1.0):
            self._note(finished=True)
            raise error

    def _settle(self) -> None:
        """Take in what ended: send failures again, move the line below which all is done."""
        try:
            ended = self._sender.finished()
        except BrokerError as error:
            self._patience(error)
            return
        for done in ended:
            if not done.error:
                self._report.published += 1
                self._end(done.token)
            elif done.fatal:
                self._end(done.token)
                self._reject(done.token, done.error)
            else:
                log.warning("row_failed", line=done.token, error=done.error)
                self._sender.send(done.token, *self._again[done.token])
        if ended:
            self._moved_at = time.monotonic()
        elif self._again and time.monotonic() - self._moved_at > GIVE_UP_S:
            self._patience(BrokerError(f"Kafka at {self._sender.bootstrap} acknowledged nothing for {GIVE_UP_S:.0f} s"))
        self._note()

    def _end(self, line: int) -> None:
        self._again.pop(line, None)
        self._ended.add(line)
        while self._open and self._open[0] in self._ended:
            self._ended.discard(heapq.heappop(self._open))

    def _reject(self, line: int, reason: str) -> None:
        self._report.rejected_count += 1
        if len(self._report.rejected) < MAX_REJECTED_KEPT:
            self._report.rejected.append(FileRejected(self._path, line, reason))

    def _note(self, *, finished: bool = False) -> None:
        """Save how far everything is done, and tell who watches."""
        now = time.monotonic()
        self._known.done = self._open[0] - 1 if self._open else self._last_line
        if self._path != "-" and (finished or now - self._saved_at > SAVE_EVERY_S):
            self._state.save()
            self._saved_at = now
        if self._progress and (finished or now - self._told_at > 0.5):
            self._progress(self._path, self._report)
            self._told_at = now
