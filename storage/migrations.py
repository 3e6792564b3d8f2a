"""The schema of the store as ordered, named, idempotent steps. An applied step is never changed; a change is a new step.

The SQL is the common dialect of ClickHouse 18.16, current ClickHouse and chdb. Tables are ReplacingMergeTree ordered by the identity of
a row and are read with FINAL, so that a batch that is written twice replaces itself.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from core.errors import SettingsError
from storage.clickhouse import ClickHouse


class Column(NamedTuple):
    """A column that a step adds to a table; existing rows get the zero value of its type."""

    table: str
    name: str
    kind: str


class Migration(NamedTuple):
    """One step: a unique name, statements, and columns to add."""

    name: str
    statements: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()


def _table(
    name: str, columns: str, order: str, *, engine: str = "ReplacingMergeTree(version)", month: str = "", granularity: int = 0
) -> str:
    """A CREATE TABLE statement.

    Args:
        order: sorting key
        month: column by whose month the table is partitioned; "": not partitioned
        granularity: rows per index mark; 0: ClickHouse's default. Small ones make lookups of single rows cheap.
    """
    partition = f" PARTITION BY toYYYYMM({month})" if month else ""
    settings = f" SETTINGS index_granularity = {granularity}" if granularity else ""
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}) ENGINE = {engine}{partition} ORDER BY {order}{settings}"


BASELINE = (
    # articles
    _table(
        "articles",
        "id String, url String, source String, genre String, language String, title String, text String, latin_variants UInt8, "
        "published_at DateTime('UTC'), fetched_at DateTime('UTC'), story String, flags Array(String), "
        "companies Array(String), surfaces Array(String), sectors Array(String), roles Array(String), company_negative Array(Float32), "
        "company_neutral Array(Float32), company_positive Array(Float32), topics Array(String), topic_p Array(Float32), "
        "risks Array(String), risk_p Array(Float32), p_negative Float32, p_neutral Float32, p_positive Float32, "
        "materiality Array(Float32), model String, scored_at DateTime('UTC'), trust String, version UInt64",
        "(published_at, id, model)",
        month="published_at",
    ),
    _table(
        "article_keys",
        "id String, published_at DateTime('UTC'), story String, fingerprint UInt64, model String, owner String, version UInt64",
        "id",
        granularity=256,
    ),
    _table(
        "lsh_bands",
        "band UInt64, published_at DateTime('UTC'), story String",
        "(band, published_at, story)",
        engine="ReplacingMergeTree()",
        month="published_at",
        granularity=256,
    ),
    _table(
        "story_leads",
        "story String, published_at DateTime('UTC'), lead String, version UInt64",
        "story",
        month="published_at",
        granularity=256,
    ),
    _table(
        "article_links",
        "link UInt64, id String, owner UInt64, story String, published_at DateTime('UTC'), stands UInt8, version UInt64",
        "(link, published_at, id)",
        month="published_at",
        granularity=256,
    ),
    _table(
        "article_revisions",
        "id String, source String, at_us UInt64, fingerprint UInt64, title String, text String, p_negative Float32, p_neutral Float32, "
        "p_positive Float32, model String, sentiment String, next_sentiment String, version UInt64",
        "(id, at_us)",
        granularity=256,
    ),
    _table(
        "mentions",
        "series String, published_at DateTime('UTC'), id String, story String, source String, language String, "
        "p_negative Float32, tone Float32, negative UInt8, materiality Float32, counts UInt8, version UInt64",
        "(series, published_at, id)",
        month="published_at",
        granularity=1024,
    ),
    # roll-ups of mentions
    _table(
        "rollups",
        "width UInt32, least UInt16, series String, start DateTime('UTC'), articles UInt32, tone Float64, stories UInt32, "
        "negative UInt32, version UInt64",
        "(width, least, series, start)",
        month="start",
        granularity=256,
    ),
    _table(
        "dirty_hours",
        "hour DateTime('UTC'), n UInt64",
        "hour",
        engine="SummingMergeTree()",
        month="hour",
    ),
    _table(
        "rollup_watermarks",
        "width UInt32, least UInt16, start DateTime('UTC'), marks UInt64",
        "(width, least, start)",
        engine="ReplacingMergeTree(marks)",
        month="start",
    ),
    # alerts
    _table(
        "alerts",
        "id String, rule String, series String, window_start DateTime('UTC'), window_s UInt32, "
        "detected_at DateTime('UTC'), severity String, observed UInt32, expected Float64, surprise Float64, "
        "total UInt32, sources UInt32, evidence String, measure String, value Float64, limit_value Float64, why String, "
        "event String, min_materiality Float64, version UInt64",
        "id",
    ),
    _table(
        "alert_events",
        "alert_id String, id String, at_us UInt64, kind String, actor String, text String, version UInt64",
        "(alert_id, id)",
        granularity=256,
    ),
    _table(
        "alert_last_breach",
        "alert_id String, at DateTime('UTC')",
        "alert_id",
        engine="ReplacingMergeTree(at)",
        granularity=256,
    ),
    _table(
        "peaks",
        "rule String, series String, hour DateTime('UTC'), ended DateTime('UTC'), width_s UInt32, surprise Float64, version UInt64",
        "(rule, series, hour)",
        month="hour",
    ),
    _table(
        "silences",
        "id String, series Array(String), rules Array(String), least String, most String, starts_at DateTime('UTC'), "
        "ends_at DateTime('UTC'), author String, comment String, created_at DateTime('UTC'), version UInt64",
        "id",
    ),
    _table(
        "silence_ends",
        "id String, ended_at DateTime('UTC'), ended_by String, version UInt64",
        "(id, ended_at, ended_by)",
    ),
    # delivery
    _table(
        "deliveries",
        "alert_id String, endpoint String, attempt UInt32, sent_at DateTime('UTC'), status UInt16, error String, "
        "parts_delivered UInt32, first_attempt UInt32, version UInt64",
        "(alert_id, endpoint, attempt)",
    ),
    _table(
        "suppressed_deliveries",
        "alert_id String, endpoint String, cause String, owner String, at DateTime('UTC'), until DateTime('UTC'), "
        "text String, version UInt64",
        "(alert_id, endpoint, cause, owner)",
        granularity=256,
    ),
    _table(
        "alert_groups",
        "id String, endpoint String, group_key String, at DateTime('UTC'), at_us UInt64, firing Array(String), "
        "new_alerts Array(String), resolved Array(String), ended_us Array(UInt64), digest UInt8, version UInt64",
        "id",
        granularity=256,
    ),
    _table(
        "delivery_replays",
        "alert_id String, endpoint String, after UInt32, at_us UInt64, actor String, version UInt64",
        "(alert_id, endpoint, after)",
        granularity=256,
    ),
    # dead letters
    _table(
        "dead_letters",
        "topic String, partition UInt32, offset UInt64, failed_at DateTime('UTC'), stage String, reason String, "
        "key String, value String, version UInt64",
        "(topic, partition, offset)",
    ),
    _table(
        "dead_letter_states",
        "topic String, partition UInt32, offset UInt64, state String, version UInt64",
        "(topic, partition, offset)",
    ),
    # feedback
    _table(
        "labels",
        "id String, task String, company String, labels Array(String), author String, model String, "
        "labelled_at DateTime('UTC'), version UInt64",
        "(id, task, company)",
    ),
    # configuration
    _table(
        "watchlists",
        "name String, digest String, version UInt64",
        "name",
    ),
    _table(
        "rule_texts",
        "id String, at_us UInt64, actor String, text String, version UInt64",
        "id",
    ),
    _table(
        "watchlist_texts",
        "id String, at_us UInt64, actor String, text String, version UInt64",
        "id",
    ),
    _table(
        "saved_views",
        "id String, owner String, name String, address String, team UInt8, at_us UInt64, gone UInt8, version UInt64",
        "id",
    ),
    # accounts
    _table(
        "accounts",
        "name String, role String, hash String, must_change UInt8, disabled UInt8, created_at DateTime('UTC'), "
        "password_at DateTime('UTC'), version UInt64",
        "name",
    ),
    _table(
        "sessions",
        "id String, name String, created_at DateTime('UTC'), seen_at DateTime('UTC'), address String, ended UInt8, version UInt64",
        "id",
        granularity=256,
    ),
    _table(
        "login_failures",
        "subject String, count UInt32, last_at DateTime('UTC'), version UInt64",
        "subject",
        granularity=256,
    ),
    _table(
        "api_tokens",
        "id String, digest String, name String, scopes Array(String), author String, created_at DateTime('UTC'), "
        "expires_at DateTime('UTC'), parent String, version UInt64",
        "id",
    ),
    _table(
        "api_token_ends",
        "id String, ended_at DateTime('UTC'), ended_by String, version UInt64",
        "(id, ended_at, ended_by)",
    ),
    _table(
        "api_token_uses",
        "id String, at DateTime('UTC')",
        "id",
        engine="ReplacingMergeTree(at)",
    ),
    _table(
        "audit",
        "at_us UInt64, id String, actor String, address String, action String, target String, before String, after String, version UInt64",
        "(at_us, id)",
        granularity=1024,
    ),
    # operations
    _table(
        "feeds",
        "name String, url String, body String, actor String, at_us UInt64, removed UInt8, version UInt64",
        "name",
    ),
    _table(
        "source_visits",
        "source String, url String, origin String, interval_s Float64, at DateTime('UTC'), outcome String, error String, "
        "entries UInt32, published UInt32, skip_reasons Array(String), skip_counts Array(UInt32), failures UInt32, ok_at DateTime('UTC'), "
        "next_at DateTime('UTC'), listed UInt8, version UInt64",
        "source",
        granularity=256,
    ),
    _table(
        "source_repeats",
        "source String, place String, text String, example String, texts UInt32, total UInt32, at DateTime('UTC'), ended UInt8, "
        "version UInt64",
        "(source, place, text)",
        granularity=256,
    ),
    _table(
        "heartbeats",
        "id String, roles Array(String), host String, pid UInt32, release String, started_at DateTime('UTC'), "
        "at DateTime('UTC'), state String, model String, waiting UInt32, version UInt64",
        "id",
        month="started_at",
        granularity=256,
    ),
)

MIGRATIONS: tuple[Migration, ...] = (Migration("0001_baseline", BASELINE),)

_UNRELEASED = "0001_articles"
"""First step of the schema before the baseline, which was never released."""


def migrate(client: ClickHouse) -> list[str]:
    """Apply the missing steps in order and return their names; a second call does nothing.

    Raises:
        SettingsError: the store has the schema from before the baseline
        StoreError
    """
    check_schema(client)
    if not _missing(client):
        return []  # without a DDL statement, which the user of a running role need not be allowed
    client.command(
        "CREATE TABLE IF NOT EXISTS migrations (name String, applied_at DateTime('UTC')) ENGINE = ReplacingMergeTree() ORDER BY name"
    )
    applied = []
    for migration in _missing(client):
        for statement in migration.statements:
            client.command(statement)
        for column in migration.columns:
            add(client, column)
        client.insert("migrations", {"name": [migration.name], "applied_at": [int(time.time())]})
        applied.append(migration.name)
    return applied


def check_schema(client: ClickHouse) -> None:
    """Raises SettingsError if the store has the schema from before the baseline."""
    if _UNRELEASED in _applied(client):
        raise SettingsError(
            "this store was made by an earlier, unreleased version and cannot be migrated: set `store` to a new database, or "
            "`data_dir` to a new folder, and load your archives again with `tocsin backfill`"
        )


def add(client: ClickHouse, column: Column) -> None:
    """Add the column if it is missing. Raises StoreError."""
    # 18.16 has no ADD COLUMN IF NOT EXISTS, and a process that was killed may have added it
    known = client.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}", table=column.table
    )
    if column.name not in {str(row[0]) for row in known}:
        client.command(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.kind}")


def pending(client: ClickHouse) -> list[str]:
    """Names of the missing steps, in order. Raises StoreError."""
    return [migration.name for migration in _missing(client)]


def _missing(client: ClickHouse) -> list[Migration]:
    applied = _applied(client)
    return [migration for migration in MIGRATIONS if migration.name not in applied]


def _applied(client: ClickHouse) -> set[str]:
    exists = int(client.query("EXISTS TABLE migrations")[0][0])
    return {str(row[0]) for row in client.query("SELECT name FROM migrations")} if exists else set()
