"""Lines of an archive as text, in whatever encoding it is written.

    byte order mark or zero bytes ─▶ UTF-16, UTF-32
    else lines of bytes ─▶ ASCII, until the first other line: it and those after it show the encoding ─▶ str

Bytes that are invalid in that encoding become lone surrogates, as Python's "surrogateescape" does: the reader of the row decides.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator

from core.errors import BadRecord, SettingsError
from ingest.text.clean_text import encoding_of

MAX_LINE_BYTES = 4 * 1024 * 1024
SAMPLE_BYTES = 256 * 1024
MAX_ATTEMPTS = 3
_UNDECODED = re.compile("[\udc80-\udcff]+")


class TextLines:
    """Iterates over the lines of a stream, each with its end.

    Attributes:
        encoding: "ascii" until a line that is not; then its encoding.
    """

    def __init__(self, stream: io.BufferedReader, path: str) -> None:
        self.encoding = "ascii"
        self._stream, self._path, self._attempts = stream, path, 0

    def __iter__(self) -> Iterator[str]:
        """Raises SettingsError where no encoding fits."""
        head = self._stream.peek(4_096)[:4_096]
        mark_bytes = 0
        if head[:1] in (b"\xef", b"\xff", b"\xfe", b"\x84") or b"\0" in head:
            name, mark_bytes = self._encoding_of(head)
            self._stream.read(mark_bytes)
            if name.startswith(("utf-16", "utf-32")):
                yield from self._wrapped(name)
                return
            self.encoding = name if mark_bytes else "ascii"
        if b"\n" not in head and b"\r" in head:  # lines of old Macs
            yield from self._wrapped(self._encoding_of(head)[0])
            return
        yield from self._decoded()

    def _wrapped(self, name: str) -> Iterator[str]:
        self.encoding = name
        text = io.TextIOWrapper(self._stream, encoding=name, errors="replace", newline=None)
        try:
            while line := text.readline(MAX_LINE_BYTES):
                yield line
        finally:
            text.detach()

    def _decoded(self) -> Iterator[str]:
        waiting: deque[bytes] = deque()
        while line := waiting.popleft() if waiting else self._stream.readline(MAX_LINE_BYTES):
            if line.isascii():
                yield line.decode("ascii")
                continue
            if self.encoding == "ascii":
                sample = [line]
                size = len(line)
                while size < SAMPLE_BYTES and (following := self._stream.readline(MAX_LINE_BYTES)):
                    waiting.append(following)
                    size += len(following)
                    if not following.isascii():
                        sample.append(following)
                self.encoding = self._guessed(sample)
            yield line.decode("utf-8" if self.encoding == "ascii" else self.encoding, "surrogateescape")

    def _guessed(self, sample: list[bytes]) -> str:
        """The encoding that these lines show; "ascii" if they show none, so that later lines are asked; at last "utf-8"."""
        self._attempts += 1
        if 2 * sum(map(_is_utf8, sample)) >= len(sample):  # hardly any other text is; the others are damaged
            return "utf-8"
        try:
            name = encoding_of(b"\n" + b"".join(sample))[0]
        except BadRecord:
            name = ""
        if not name or name.startswith(("utf-16", "utf-32")):
            return "ascii" if self._attempts < MAX_ATTEMPTS else "utf-8"
        return name

    def _encoding_of(self, sample: bytes) -> tuple[str, int]:
        try:
            return encoding_of(sample)
        except BadRecord as error:
            if self.encoding == "ascii" and sample.isascii():
                return "ascii", 0
            raise SettingsError(
                f"{self._path}: {error.reason}; UTF-8, UTF-16, GB18030, Big5, windows-1252 and other encodings of text are read"
            ) from error


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def undecoded(text: str) -> str:
    """The first bytes that were invalid, such as "0xE9 0x20"; "" if all were valid."""
    found = None if text.isascii() else _UNDECODED.search(text)
    return " ".join(f"0x{ord(char) - 0xDC00:02X}" for char in found.group()[:4]) if found else ""


def undecoded_runs(text: str) -> int:
    """How often bytes in a row were invalid: of a character that was cut, once."""
    return 0 if text.isascii() else len(_UNDECODED.findall(text))


def without_undecoded(text: str) -> str:
    """The text without bytes that were invalid."""
    return text if text.isascii() else _UNDECODED.sub("", text)
