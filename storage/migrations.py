"""The store's tables, as ordered, named, idempotent steps. A step that was applied is never changed; a new one is added.

The dialect is what ClickHouse 18.16, a current ClickHouse and chdb all accept. Rows are keyed so that a batch that comes
twice replaces itself: ReplacingMergeTree ordered by the row's identity, read through FINAL.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from storage.clickhouse import ClickHouse


class Column(NamedTuple):
    """A column that a table gets later; rows from before hold its type's zero."""

    table: str
    name: str
    kind: str


class Migration(NamedTuple):
    """One step: its name, unique for ever, its statements, and the columns that it adds."""

    name: str
    statements: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "0001_articles",
        (
            """
            CREATE TABLE IF NOT EXISTS articles (
                id String, url String, source String, genre String, language String, title String, text String,
                published_at DateTime('UTC'), fetched_at DateTime('UTC'), story String, flags Array(String),
                companies Array(String), surfaces Array(String), sectors Array(String),
                company_negative Array(Float32), company_neutral Array(Float32), company_positive Array(Float32),
                topics Array(String), topic_p Array(Float32),
                p_negative Float32, p_neutral Float32, p_positive Float32,
                model String, scored_at DateTime('UTC'), version UInt64
            ) ENGINE = ReplacingMergeTree(version)
            PARTITION BY toYYYYMM(published_at) ORDER BY (published_at, id, model)
            """,
        ),
    ),
    Migration(
        "0002_article_keys",
        (
            """
            CREATE TABLE IF NOT EXISTS article_keys (
                id String, published_at DateTime('UTC'), story String, fingerprint UInt64, model String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS story_bands (
                band UInt64, published_at DateTime('UTC'), story String
            ) ENGINE = ReplacingMergeTree()
            PARTITION BY toYYYYMM(published_at) ORDER BY (band, published_at, story) SETTINGS index_granularity = 256
            """,
        ),
    ),
    Migration(
        "0003_mentions",
        (
            """
            CREATE TABLE IF NOT EXISTS mentions (
                series String, published_at DateTime('UTC'), id String, story String, source String, language String,
                p_negative Float32, tone Float32, negative UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version)
            PARTITION BY toYYYYMM(published_at) ORDER BY (series, published_at, id) SETTINGS index_granularity = 1024
            """,
        ),
    ),
    Migration(
        "0004_alerts",
        (
            """
            CREATE TABLE IF NOT EXISTS alerts (
                id String, rule String, series String, window_start DateTime('UTC'), window_s UInt32,
                detected_at DateTime('UTC'), severity String, observed UInt32, expected Float64, surprise Float64,
                total UInt32, sources UInt32, evidence String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
            """
            CREATE TABLE IF NOT EXISTS deliveries (
                alert_id String, endpoint String, attempt UInt32, sent_at DateTime('UTC'), status UInt16, error String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (alert_id, endpoint, attempt)
            """,
        ),
    ),
    Migration(
        "0005_dead_letters",
        (
            """
            CREATE TABLE IF NOT EXISTS dead_letters (
                topic String, partition UInt32, offset UInt64, failed_at DateTime('UTC'), stage String, reason String,
                key String, value String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (topic, partition, offset)
            """,
        ),
    ),
    Migration(
        "0006_labels",
        (
            """
            CREATE TABLE IF NOT EXISTS labels (
                id String, task String, company String, labels Array(String), author String, model String,
                labelled_at DateTime('UTC'), version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (id, task, company)
            """,
        ),
    ),
    Migration(
        "0007_mood_sums",
        (
            """
            CREATE TABLE IF NOT EXISTS mood_sums (
                width UInt32, series String, start DateTime('UTC'), articles UInt32, tone Float64, stories UInt32, negative UInt32,
                version UInt64
            ) ENGINE = ReplacingMergeTree(version)
            PARTITION BY toYYYYMM(start) ORDER BY (width, series, start) SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS hour_marks (hour DateTime('UTC'), n UInt64)
            ENGINE = SummingMergeTree() PARTITION BY toYYYYMM(hour) ORDER BY hour
            """,
            """
            CREATE TABLE IF NOT EXISTS sums_done (width UInt32, start DateTime('UTC'), marks UInt64)
            ENGINE = ReplacingMergeTree(marks) PARTITION BY toYYYYMM(start) ORDER BY (width, start)
            """,
            "INSERT INTO hour_marks SELECT toStartOfHour(published_at) AS hour, toUInt64(1) AS n FROM mentions GROUP BY hour",
        ),
    ),
    Migration(
        "0008_dead_states",
        (
            """
            CREATE TABLE IF NOT EXISTS dead_states (topic String, partition UInt32, offset UInt64, state String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY (topic, partition, offset)
            """,
        ),
    ),
    Migration(
        "0009_language_genre_watchlists",
        (
            # A series without a past would ring at once. Detection reads a year at most; more months than a hundred are refused.
            """
            INSERT INTO mentions (series, published_at, id, story, source, language, p_negative, tone, negative, version)
            SELECT arrayJoin([concat('language:', language), concat('genre:', genre)]), published_at, id, story, source, language,
                   p_negative, p_positive - p_negative, toUInt8(p_negative >= p_neutral + p_positive), version
            FROM articles WHERE published_at >= now() - 34560000 AND published_at < now() + 86400
            """,
            """
            INSERT INTO hour_marks SELECT toStartOfHour(published_at) AS hour, toUInt64(1) AS n FROM mentions
            WHERE series >= 'language:' AND series < 'language;' GROUP BY hour
            """,
            """
            CREATE TABLE IF NOT EXISTS watchlists (name String, digest String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY name
            """,
        ),
    ),
    Migration(
        "0010_peaks",
        (
            """
            CREATE TABLE IF NOT EXISTS peaks (
                rule String, series String, hour DateTime('UTC'), ended DateTime('UTC'), width_s UInt32, surprise Float64, version UInt64
            ) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(hour) ORDER BY (rule, series, hour)
            """,
        ),
    ),
    Migration(
        "0011_alert_life",
        (
            """
            CREATE TABLE IF NOT EXISTS alert_events (
                alert_id String, id String, at_us UInt64, kind String, who String, text String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (alert_id, id) SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS alert_seen (alert_id String, at DateTime('UTC'))
            ENGINE = ReplacingMergeTree(at) ORDER BY alert_id SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS withheld (
                alert_id String, endpoint String, cause String, owner String, at DateTime('UTC'), until DateTime('UTC'),
                text String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (alert_id, endpoint, cause, owner) SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS silences (
                id String, series Array(String), rules Array(String), least String, most String, starts_at DateTime('UTC'),
                ends_at DateTime('UTC'), author String, comment String, created_at DateTime('UTC'), version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
            """
            CREATE TABLE IF NOT EXISTS silence_ends (id String, ended_at DateTime('UTC'), ended_by String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY (id, ended_at, ended_by)
            """,
        ),
    ),
    Migration("0012_delivery_taken", columns=(Column("deliveries", "taken", "UInt32"),)),
    Migration(
        "0013_alert_measure_why",
        columns=(
            Column("alerts", "measure", "String"),
            Column("alerts", "value", "Float64"),
            Column("alerts", "limit_value", "Float64"),
            Column("alerts", "why", "String"),
        ),
    ),
    Migration(
        "0014_alert_groups",
        (
            """
            CREATE TABLE IF NOT EXISTS alert_groups (
                id String, endpoint String, group_key String, at DateTime('UTC'), at_us UInt64, firing Array(String),
                fresh Array(String), resolved Array(String), ended_us Array(UInt64), digest UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id SETTINGS index_granularity = 256
            """,
        ),
    ),
    Migration(
        "0015_accounts",
        (
            """
            CREATE TABLE IF NOT EXISTS accounts (
                name String, role String, hash String, must_change UInt8, disabled UInt8, created_at DateTime('UTC'),
                password_at DateTime('UTC'), version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY name
            """,
            """
            CREATE TABLE IF NOT EXISTS sessions (
                id String, name String, created_at DateTime('UTC'), seen_at DateTime('UTC'), address String, ended UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS login_failures (subject String, count UInt32, last_at DateTime('UTC'), version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY subject SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS audit (
                at_us UInt64, id String, who String, address String, what String, about String, before String, after String,
                version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (at_us, id) SETTINGS index_granularity = 1024
            """,
        ),
    ),
    Migration(
        "0016_risk_events",
        columns=(
            Column("articles", "risks", "Array(String)"),
            Column("articles", "risk_p", "Array(Float32)"),
            Column("alerts", "event", "String"),
        ),
    ),
    Migration(
        "0017_api_tokens",
        (
            """
            CREATE TABLE IF NOT EXISTS api_tokens (
                id String, digest String, name String, scopes Array(String), author String, created_at DateTime('UTC'),
                expires_at DateTime('UTC'), version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
            """
            CREATE TABLE IF NOT EXISTS api_token_ends (id String, ended_at DateTime('UTC'), ended_by String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY (id, ended_at, ended_by)
            """,
            """
            CREATE TABLE IF NOT EXISTS api_token_uses (id String, at DateTime('UTC')) ENGINE = ReplacingMergeTree(at) ORDER BY id
            """,
        ),
    ),
    Migration(
        "0018_rule_texts",
        (
            """
            CREATE TABLE IF NOT EXISTS rule_texts (id String, at_us UInt64, who String, text String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
        ),
    ),
    Migration(
        "0019_saved_views",
        (
            """
            CREATE TABLE IF NOT EXISTS saved_views (
                id String, owner String, name String, address String, team UInt8, at_us UInt64, gone UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
        ),
    ),
    Migration(
        "0020_watchlist_texts",
        (
            """
            CREATE TABLE IF NOT EXISTS watchlist_texts (id String, at_us UInt64, who String, text String, version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY id
            """,
        ),
    ),
    Migration(
        "0021_feeds_visits_heartbeats",
        (
            """
            CREATE TABLE IF NOT EXISTS feeds (
                name String, url String, body String, who String, at_us UInt64, removed UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY name
            """,
            """
            CREATE TABLE IF NOT EXISTS source_visits (
                source String, url String, origin String, interval_s Float64, at DateTime('UTC'), outcome String, error String,
                entries UInt32, published UInt32, refused UInt32, failures UInt32, ok_at DateTime('UTC'), next_at DateTime('UTC'),
                listed UInt8, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY source SETTINGS index_granularity = 256
            """,
            """
            CREATE TABLE IF NOT EXISTS heartbeats (
                id String, roles Array(String), host String, pid UInt32, release String, started_at DateTime('UTC'), at DateTime('UTC'),
                state String, model String, waiting UInt32, version UInt64
            ) ENGINE = ReplacingMergeTree(version) PARTITION BY toYYYYMM(started_at) ORDER BY id SETTINGS index_granularity = 256
            """,
        ),
    ),
    Migration(
        "0022_delivery_replays",
        (
            """
            CREATE TABLE IF NOT EXISTS delivery_replays (
                alert_id String, endpoint String, after UInt32, at_us UInt64, who String, version UInt64
            ) ENGINE = ReplacingMergeTree(version) ORDER BY (alert_id, endpoint, after) SETTINGS index_granularity = 256
            """,
        ),
    ),
    Migration(
        "0023_company_sums",
        (
            """
            INSERT INTO hour_marks SELECT toStartOfHour(published_at) AS hour, toUInt64(1) AS n FROM mentions
            WHERE series >= 'company:' AND series < 'company;' GROUP BY hour
            """,
        ),
    ),
)


def migrate(client: ClickHouse) -> list[str]:
    """Apply what has not been applied yet, in order; the names of what was. Running it twice changes nothing. Raises StoreError."""
    client.command(
        "CREATE TABLE IF NOT EXISTS migrations (name String, applied_at DateTime('UTC')) ENGINE = ReplacingMergeTree() ORDER BY name"
    )
    done = {str(row[0]) for row in client.query("SELECT name FROM migrations")}
    applied = []
    for migration in MIGRATIONS:
        if migration.name in done:
            continue
        for statement in migration.statements:
            client.command(statement)
        for column in migration.columns:
            add(client, column)
        client.insert("migrations", {"name": [migration.name], "applied_at": [int(time.time())]})
        applied.append(migration.name)
    return applied


def add(client: ClickHouse, column: Column) -> None:
    """Add the column where it is missing. Raises StoreError."""
    # 18.16 knows no IF NOT EXISTS for columns, and a process that was killed may have added it
    known = client.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}", table=column.table
    )
    if column.name not in {str(row[0]) for row in known}:
        client.command(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.kind}")


def pending(client: ClickHouse) -> list[str]:
    """Names of the steps that have not been applied, in order. Raises StoreError."""
    exists = client.query("EXISTS TABLE migrations")[0][0]
    done = {str(row[0]) for row in client.query("SELECT name FROM migrations")} if exists else set()
    return [migration.name for migration in MIGRATIONS if migration.name not in done]
