"""The two ways to reach ClickHouse, behind one port: a server over native TCP, and chdb in this process.

The only door to clickhouse-driver and chdb. Values travel as parameters, written {name:Type} in the SQL; results are plain
Python numbers, strings and lists, the same from both. Times are epoch seconds on the way in and out.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import msgspec

from core.errors import SettingsError, StoreError, StoreUnavailable

Value = str | int | float | Sequence[str] | Sequence[int]
Row = tuple[Any, ...]

_DISK_FULL = {75, 243}
RETRIABLE = frozenset({3, 107, 159, 164, 202, 203, 209, 210, 241, 242, 252, 285, 319, 425, 999} | _DISK_FULL)
"""Error codes after which the same request may work: the list of ClickHouse's own Kafka connector (Utils.java), and a full disk,
which is no row's fault: CANNOT_WRITE_TO_FILE_DESCRIPTOR is how old servers meet it, NOT_ENOUGH_SPACE how new ones do."""

_PARAMETER = re.compile(r"\{(\w+):([^}]+)\}")


class ClickHouse(Protocol):
    """A connection to one database of one ClickHouse. Safe to use from several threads."""

    def query(self, sql: str, **parameters: Value) -> list[Row]:
        """The rows of a SELECT. Raises StoreError, or StoreUnavailable when trying again may help."""
        ...

    def command(self, sql: str) -> None:
        """Run a statement that has no rows and no values, such as CREATE. Raises as `query` does."""
        ...

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Insert columns of equal length; nothing for length 0. When it returns, the rows are there. Raises as `query` does."""
        ...

    def close(self) -> None:
        """Release the connection; calling it twice is fine."""
        ...


def connect(address: str, data_dir: Path) -> ClickHouse:
    """The client for a store address of the settings. Raises SettingsError, StoreError."""
    if address == "embedded":
        return Embedded(data_dir / "store")
    return Server(address)


class _Holder:
    """Holds a thread's connection; when the thread goes, so does this, and its finaliser ends the connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection


class _PerThread:
    """One connection a thread, made when the thread first asks: neither client may be shared. It is ended when its thread goes."""

    def __init__(self, make: Callable[[], Any], end: Callable[[Any], None]) -> None:
        self._make, self._end = make, end
        self._local = threading.local()
        self._finalisers: list[weakref.finalize[Any, _Holder]] = []
        self._lock = threading.Lock()

    def get(self) -> Any:
        holder = getattr(self._local, "holder", None)
        if holder is None:
            holder = self._local.holder = _Holder(self._make())
            finaliser = weakref.finalize(holder, self._end, holder.connection)
            with self._lock:
                self._finalisers = [known for known in self._finalisers if known.alive] + [finaliser]
        return holder.connection

    def close(self) -> None:
        """End every connection; a thread that asks again gets a new one."""
        with self._lock:
            self._local = threading.local()
            for finaliser in self._finalisers:
                finaliser()
            self._finalisers.clear()


class Server:
    """A ClickHouse server over native TCP.

    timeout_s: between two packets of an answer (a server that reads reports its progress ten times a second). With connect_timeout_s,
        which an attempt may take too, at most half of stream.worker.retry.RetryPolicy's deadline: else a frozen server is asked only once
    """

    def __init__(self, address: str, *, connect_timeout_s: float = 5.0, timeout_s: float = 10.0) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname:
            raise SettingsError(f"store {parts.scheme}://{parts.hostname or ''}: expected clickhouse://user:password@host:9000/database")
        self.database = parts.path.strip("/") or "default"
        if not re.fullmatch(r"[A-Za-z_]\w*", self.database):
            raise SettingsError(f"store: {self.database!r} is not a database name (letters, digits and _)")
        try:
            port = parts.port or (9440 if parts.scheme == "clickhouses" else 9000)
        except ValueError as error:
            raise SettingsError(f"store: {error}") from error
        self._place = f"{parts.hostname}:{port}"
        self._options: dict[str, Any] = {
            "host": parts.hostname,
            "port": port,
            "user": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "secure": parts.scheme == "clickhouses",
            "connect_timeout": connect_timeout_s,
            "send_receive_timeout": timeout_s,
            "sync_request_timeout": connect_timeout_s,
            "client_name": "tocsin",
        }
        self._clients = _PerThread(self._make_client, lambda client: client.disconnect())
        self._run(lambda client: client.execute(f"CREATE DATABASE IF NOT EXISTS {self.database}"))
        self.close()
        self._options["database"] = self.database  # a client can only name it once it is there

    def _make_client(self) -> Any:
        from clickhouse_driver import Client

        return Client(**self._options)

    def _run(self, action: Any) -> Any:
        from clickhouse_driver import errors

        client = self._clients.get()
        try:
            return action(client)
        except errors.ServerException as error:
            message = f"ClickHouse at {self._place} refused (code {error.code}): {_first_line(error.message)}"
            raise (StoreUnavailable if error.code in RETRIABLE else StoreError)(message) from error
        except (errors.NetworkError, errors.SocketTimeoutError, errors.PartiallyConsumedQueryError, OSError, EOFError) as error:
            client.disconnect()
            raise StoreUnavailable(
                f"ClickHouse at {self._place} cannot be reached: {_first_line(str(error)) or type(error).__name__}"
            ) from error
        except (errors.Error, ValueError, TypeError, AttributeError, KeyError) as error:
            client.disconnect()
            raise StoreError(f"ClickHouse at {self._place}: {_first_line(str(error)) or type(error).__name__}") from error

    def query(self, sql: str, **parameters: Value) -> list[Row]:
        """As ClickHouse.query. The driver writes the values into the text with its own escaping: old servers know no parameters."""
        text = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        values = {name: value if isinstance(value, str | int | float) else tuple(value) or ("",) for name, value in parameters.items()}
        if not values:
            text = sql
        return self._run(lambda client: client.execute(text, values or None))  # type: ignore[no-any-return]

    def command(self, sql: str) -> None:
        """As ClickHouse.command."""
        self._run(lambda client: client.execute(sql))

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """As ClickHouse.insert. Types are checked on this side, so that a bad value never reaches the server as something else."""
        data = [list(values) for values in columns.values()]
        if not data or not data[0]:
            return
        text = f"INSERT INTO {table} ({', '.join(columns)}) VALUES"
        self._run(lambda client: client.execute(text, data, columnar=True, types_check=True))

    def close(self) -> None:
        """As ClickHouse.close."""
        self._clients.close()


class Embedded:
    """chdb: ClickHouse in this process, on disk. One process owns a folder; its threads share this object.

    Each thread has a session of its own: on a shared one the parameters of one query appear in another's.
    """

    database = "tocsin"

    def __init__(self, folder: Path) -> None:
        try:
            from chdb import session
        except ImportError as error:
            raise SettingsError(
                f"the embedded store needs the package chdb ({error}); set `store` to a ClickHouse server instead"
            ) from error
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._sessions = _PerThread(lambda: self._make_session(session.Session), lambda made: made.close())
        try:
            self._sessions.get()
        except Exception as error:
            other = re.search(r"already initialized with path '([^']*)'", str(error))
            if other is not None:
                raise StoreError(f"the embedded store in {folder} cannot be opened: this process has {other.group(1)} open") from error
            raise StoreUnavailable(  # one that is just ending, perhaps: whoever starts us again should
                f"the embedded store in {folder} cannot be opened: is another tocsin running on it? "
                "Stop that one, or choose another data_dir."
            ) from error

    def _make_session(self, kind: Any) -> Any:
        made = kind(str(self.folder))
        made.query(f"CREATE DATABASE IF NOT EXISTS {self.database}")
        made.query(f"USE {self.database}")
        return made

    def _run(self, sql: str, parameters: Mapping[str, str] | None = None) -> bytes:
        try:
            result = self._sessions.get().query(sql, "JSONCompactEachRow", params=dict(parameters or {}))
            return bytes(result.bytes()) if result is not None else b""
        except Exception as error:
            message = _first_line(str(error))
            code = re.search(r"Code: (\d+)", message)
            busy = code is not None and int(code.group(1)) in RETRIABLE
            raise (StoreUnavailable if busy else StoreError)(f"the embedded store in {self.folder}: {message}") from error

    def query(self, sql: str, **parameters: Value) -> list[Row]:
        """As ClickHouse.query."""
        lines = self._run(sql, {name: _parameter(value) for name, value in parameters.items()})
        return [tuple(row) for row in msgspec.json.decode(b"[" + b",".join(lines.splitlines()) + b"]")]

    def command(self, sql: str) -> None:
        """As ClickHouse.command."""
        self._run(sql)

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """As ClickHouse.insert. The rows travel as JSON after the statement: they are data, never SQL."""
        names = list(columns)
        encode = msgspec.json.encode
        try:
            body = b"\n".join(encode(row) for row in zip(*columns.values(), strict=True)).decode()
        except (UnicodeEncodeError, ValueError) as error:
            raise StoreError(f"rows for {table} cannot be written as JSON: {error}") from error
        if body:
            self._run(f"INSERT INTO {table} ({', '.join(names)}) FORMAT JSONCompactEachRow {body}")

    def close(self) -> None:
        """As ClickHouse.close."""
        self._sessions.close()


def _parameter(value: Value) -> str:
    """A value as chdb reads one: escaped as in a tab-separated file, an array in brackets with its strings quoted."""
    if isinstance(value, str):
        return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")
    if isinstance(value, int | float):
        return str(value)
    return "[" + ",".join("'" + _quoted(item) + "'" if isinstance(item, str) else str(item) for item in value) + "]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return escaped.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r").replace("\0", "\\0")


def _first_line(text: str) -> str:
    return text.split("Stack trace", maxsplit=1)[0].strip().replace("\n", " ")[:400]
