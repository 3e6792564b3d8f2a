"""The two ClickHouse clients behind one protocol: a server over native TCP, and chdb in this process.

Only this module imports clickhouse-driver and chdb. Values are passed as parameters, written {name:Type} in the SQL. Results are plain
Python numbers, strings and lists, the same from both clients. Times are epoch seconds.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from core.errors import SettingsError, StoreError, StoreUnavailable

Value = str | int | float | Sequence[str] | Sequence[int]
Row = tuple[Any, ...]

_DISK_FULL = {75, 243}
RETRIABLE = frozenset({3, 107, 159, 164, 202, 203, 209, 210, 241, 242, 252, 285, 319, 425, 999} | _DISK_FULL)
"""Error codes after which the same request may succeed: the list of ClickHouse's Kafka connector (Utils.java), and a full disk, which
old servers report as CANNOT_WRITE_TO_FILE_DESCRIPTOR and new ones as NOT_ENOUGH_SPACE."""

_PARAMETER = re.compile(r"\{(\w+):([^}]+)\}")


class ClickHouse(Protocol):
    """A connection to one database of one ClickHouse. Safe to use from several threads."""

    def query(self, sql: str, **parameters: Value) -> list[Row]:
        """The rows of a SELECT. Raises StoreError; StoreUnavailable if a retry may help."""
        ...

    def command(self, sql: str) -> None:
        """Run a statement without rows and parameters, such as CREATE. Raises as `query`."""
        ...

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Insert columns of equal length; length 0 does nothing. The rows are stored when it returns. Raises as `query`."""
        ...

    def close(self) -> None:
        """Release all connections; may be called twice."""
        ...


def connect(address: str, data_dir: Path) -> ClickHouse:
    """The client for the setting `store`. Raises SettingsError, StoreError."""
    if address == "embedded":
        return Embedded(data_dir / "store")
    return Server(address)


class _Holder:
    """The connection of a thread; collected with the thread, whereupon its finaliser closes the connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection


class _PerThread:
    """One connection per thread, opened at first use and closed when the thread ends: neither client may be shared."""

    def __init__(self, open_one: Callable[[], Any], close_one: Callable[[Any], None]) -> None:
        self._open_one, self._close_one = open_one, close_one
        self._local = threading.local()
        self._finalisers: list[weakref.finalize[Any, _Holder]] = []
        self._lock = threading.Lock()

    def get(self) -> Any:
        holder = getattr(self._local, "holder", None)
        if holder is None:
            holder = self._local.holder = _Holder(self._open_one())
            finaliser = weakref.finalize(holder, self._close_one, holder.connection)
            with self._lock:
                self._finalisers = [known for known in self._finalisers if known.alive] + [finaliser]
        return holder.connection

    def close(self) -> None:
        """Close every connection; a later `get` opens a new one."""
        with self._lock:
            self._local = threading.local()
            for finaliser in self._finalisers:
                finaliser()
            self._finalisers.clear()


class Server:
    """A ClickHouse server over native TCP.

    Args:
        connect_timeout_s: timeout of a connection attempt
        timeout_s: timeout between two packets of a response (a working server reports its progress ten times a second). Both
            together must be at most half of the deadline of stream.retry.RetryPolicy, or a hanging server gets no retry.
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
        query = parse_qsl(parts.query, keep_blank_values=True)
        if [name for name, _ in query] not in ([], ["ca"]) or (query and parts.scheme != "clickhouses"):
            raise SettingsError("store: the only option is ca=FILE, the authorities to trust, of clickhouses://")
        if query and not Path(query[0][1]).is_file():
            raise SettingsError(f"store: there is no file {query[0][1]} with authorities to trust")
        self._place = f"{parts.hostname}:{port}"
        self._options: dict[str, Any] = {
            "host": parts.hostname,
            "port": port,
            "user": unquote(parts.username or "default"),
            "password": unquote(parts.password or ""),
            "secure": parts.scheme == "clickhouses",
            **({"ca_certs": query[0][1]} if query else {}),
            "connect_timeout": connect_timeout_s,
            "send_receive_timeout": timeout_s,
            "sync_request_timeout": connect_timeout_s,
            "client_name": "tocsin",
        }
        self._clients = _PerThread(self._make_client, lambda client: client.disconnect())
        known = self._run(
            lambda client: client.execute("SELECT count() FROM system.databases WHERE name = %(name)s", {"name": self.database})
        )
        if not known[0][0]:  # a user of one database may not create it
            self._run(lambda client: client.execute(f"CREATE DATABASE IF NOT EXISTS {self.database}"))
        self.close()
        self._options["database"] = self.database  # only possible once the database exists

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
        """As ClickHouse.query. The driver escapes the values into the text, as old servers have no query parameters."""
        text = _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))
        values = {name: value if isinstance(value, str | int | float) else tuple(value) or ("",) for name, value in parameters.items()}
        if not values:
            text = sql
        return self._run(lambda client: client.execute(text, values or None))  # type: ignore[no-any-return]

    def command(self, sql: str) -> None:
        """As ClickHouse.command."""
        self._run(lambda client: client.execute(sql))

    def insert(self, table: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """As ClickHouse.insert. The driver checks the types, so that no value is converted silently."""
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

    Each thread has its own session, as concurrent queries on a shared session mix up their parameters.
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
            raise StoreUnavailable(  # perhaps that process is just ending, and a restart succeeds
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
        """As ClickHouse.insert. The rows are passed as JSON after the statement, not as SQL."""
        names = list(columns)
        encode = msgspec.json.encode
        try:
            body = b"\n".join(encode(row) for row in zip(*columns.values(), strict=True)).decode()
        except (UnicodeEncodeError, ValueError) as error:
            raise StoreError(f"rows for {table} cannot be encoded as JSON: {error}") from error
        if body:
            self._run(f"INSERT INTO {table} ({', '.join(names)}) FORMAT JSONCompactEachRow {body}")

    def close(self) -> None:
        """As ClickHouse.close."""
        self._sessions.close()


def _parameter(value: Value) -> str:
    """A parameter in chdb's format: escaped as in a tab-separated file, arrays in brackets with quoted strings."""
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
