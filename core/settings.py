"""All settings with their types, defaults and help texts.

A setting is read from the environment (TOCSIN_ and its name in capitals), else from the TOML file, else its default applies.
docs/settings.md has the same list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from core.errors import SettingsError
from core.records import RENAMED_SEVERITIES

ENV_PREFIX = "TOCSIN_"
RENAMED = {
    "alert_lateness_s": "alert_max_age_s",
    "alert_silence_per_week": "alert_outages_per_week",
    "dead_share": "dead_letter_max_ratio",
    "tell_resolved": "send_resolved",
}
"""Old names of settings and of fields of [[webhooks]] tables, for error messages."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint for alerts: a [[webhooks]] table of the settings file."""

    url: Annotated[
        str,
        Meta(
            pattern="^(https?|smtps?)://",
            description="where to POST; https except on your own network; for email: "
            "smtp(s)://user:password@host:port?from=a@b.example&to=c@d.example",
        ),
    ]
    format: Annotated[
        Literal["json", "alertmanager", "slack", "feishu", "dingtalk", "wecom", "email"],
        Meta(description="json (docs/webhook.schema.json), alertmanager, slack, feishu, dingtalk, wecom or email"),
    ] = "json"
    secret: Annotated[
        str,
        Meta(
            description="signing secret; json and alertmanager: whsec_ and base64 (Standard Webhooks); feishu and dingtalk: "
            "the secret of the bot; empty: not signed"
        ),
    ] = ""
    previous_secret: Annotated[
        str, Meta(description="json and alertmanager: the secret before a rotation; while set, requests carry signatures of both")
    ] = ""
    language: Annotated[Literal["en", "zh"], Meta(description="language of the alert texts")] = "en"
    min_severity: Annotated[Literal["info", "warning", "critical"], Meta(description="lowest severity to send")] = "info"
    series: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description='send only alerts on series that match one of these patterns, such as "topic:*" or "company:AAPL"; empty: all'),
    ] = ()
    rules: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="send only alerts of rules that match one of these patterns (* matches anything); empty: all"),
    ] = ()
    paused: Annotated[bool, Meta(description="send nothing to this endpoint; `tocsin webhooks test` still works")] = False
    allow_private: Annotated[bool, Meta(description="permit a loopback or private address")] = False
    name: Annotated[str, Meta(description="name in the delivery log; default: the host of the URL")] = ""
    quiet_hours: Annotated[
        str, Meta(description='quiet hours of this endpoint in place of the setting quiet_hours; "none": no quiet hours')
    ] = ""
    group_by: Annotated[
        tuple[Literal["rule", "series", "kind", "severity"], ...],
        Meta(
            description="group alerts that agree in these: rule, series, kind (topic, company ...), severity; empty: all "
            "alerts form one group"
        ),
    ] = ()
    group_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="how long a new group waits for further alerts, seconds, such as 30 for a chat; 0: each alert is sent "
            "alone, at once",
        ),
    ] = 0.0
    group_interval_s: Annotated[float, Meta(ge=1, le=86_400, description="interval between updates to a group already sent, seconds")] = (
        300.0
    )
    repeat_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=7 * 86_400,
            description="interval after which a firing, unacknowledged alert is sent again, seconds, such as 14400; 0: never",
        ),
    ] = 0.0
    send_resolved: Annotated[bool, Meta(description="also send resolutions of alerts that were sent")] = False
    digest: Annotated[
        str,
        Meta(
            description='send digests of the new alerts instead of single alerts: "hourly", "08:00 Asia/Shanghai" or "Mon-Fri '
            '08:00,18:00 Asia/Shanghai"; empty: no digest'
        ),
    ] = ""


Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults."""

    data_dir: Annotated[str, Meta(description="folder of the embedded store and the outbox")] = "~/.local/share/tocsin"
    broker: Annotated[str, Meta(min_length=1, description='Kafka bootstrap servers, "host:port,host:port", or "embedded"')] = "embedded"
    broker_max_mb: Annotated[
        int, Meta(ge=1, description="memory limit of the embedded broker, 10^6 bytes; above it the broker is emptied and restarted")
    ] = 1000
    topic_prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]*$", description="prefix of all Kafka topic names")] = ""
    partitions: Annotated[
        int, Meta(ge=1, le=1000, description="partitions of the topic `articles` when it is created: the maximum number of workers")
    ] = 4
    replication: Annotated[int, Meta(ge=1, le=9, description="replication factor of topics that are created")] = 1
    consumer_group: Annotated[str, Meta(min_length=1, description="the workers' consumer group")] = "tocsin"
    store: Annotated[
        str, Meta(min_length=1, description='"clickhouse://user:password@host:9000/database", or "embedded" (chdb in data_dir)')
    ] = "embedded"
    model: Annotated[
        str,
        Meta(
            min_length=1,
            description='"champion" (the promoted version, else the shipped one), "shipped", the folder of a model version, '
            'or "keyword" (word lists, for tests only)',
        ),
    ] = "champion"
    model_threads: Annotated[int, Meta(ge=0, le=512, description="CPU threads of the model; 0: all cores")] = 0
    max_tokens: Annotated[int, Meta(ge=8, le=512, description="maximum number of tokens of title and lead that the model reads")] = 64
    batch_max: Annotated[int, Meta(ge=1, le=100_000, description="maximum number of articles scored in one batch")] = 512
    batch_wait_ms: Annotated[int, Meta(ge=1, le=10_000, description="maximum time to wait for a batch to fill, milliseconds")] = 50
    dead_letter_max_ratio: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="maximum ratio of unusable records among the last 1,000; above it (and at least 100) a worker stops; 1: no limit",
        ),
    ] = 0.5
    companies: Annotated[str, Meta(description="TOML file of companies and their aliases; empty: the shipped list")] = ""
    watchlists: Annotated[str, Meta(description="TOML file of watchlists, each of which is a series; empty: none")] = ""
    sources: Annotated[str, Meta(description="TOML file of the feeds to crawl")] = ""
    feeds_allow_private: Annotated[
        bool, Meta(description="permit loopback and private addresses for feeds that are tested or added on the dashboard")
    ] = False
    alert_history_days: Annotated[
        int, Meta(ge=1, le=366, description="length of the history from which a series' baseline is estimated, days")
    ] = 28
    alert_warmup_h: Annotated[float, Meta(ge=0, description="no alerts until the feed has been followed for so long, hours")] = 12
    alert_max_age_s: Annotated[
        int,
        Meta(ge=60, le=86_400, description="maximum age of a story that can raise an alert, seconds; older stories only count as history"),
    ] = 3600
    alert_false_per_week: Annotated[
        float, Meta(gt=0, le=1000, description="expected number of false alarms of the spike detector per week, over all series together")
    ] = 1.0
    alert_outages_per_week: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="expected number of false outage alerts per week, over all sources and the whole feed; 0: no outage alerts",
        ),
    ] = 0.25
    alert_min_stories: Annotated[int, Meta(ge=1, description="minimum number of negative stories for an alert")] = 3
    alert_min_sources: Annotated[int, Meta(ge=1, description="minimum number of independent sources for an alert")] = 2
    alert_min_ratio: Annotated[float, Meta(ge=1, description="minimum ratio of observed to expected stories for an alert")] = 2.0
    alert_cooldown_s: Annotated[int, Meta(ge=0, description="minimum time between two alerts on one series, seconds")] = 14_400
    alert_rules: Annotated[
        str, Meta(description="TOML file of further alert rules, which may also replace the spike detector; empty: none")
    ] = ""
    alert_resolve_after_s: Annotated[
        int, Meta(ge=60, le=30 * 86_400, description="an alert resolves when its series was below the threshold for so long, seconds")
    ] = 3600
    alert_inhibit: Annotated[
        str,
        Meta(
            description='inhibition rules, "KIND > KIND, KIND; ...": alerts on the first kind suppress alerts of the same '
            "episode on the others (* matches every kind); empty: none"
        ),
    ] = "market > *; sector > company"
    quiet_hours: Annotated[
        str,
        Meta(description='times at which nothing is delivered, such as "22:00-07:00 Asia/Shanghai; closed XSHG" or "outside XNYS"'),
    ] = ""
    quiet_hours_except: Annotated[
        Literal["info", "warning", "critical", "none"],
        Meta(description='lowest severity that is delivered in quiet hours too; "none": nothing is'),
    ] = "critical"
    retention_days: Annotated[int, Meta(ge=0, description="months that are older are deleted from the store, days; 0: keep everything")] = 0
    refresh_cron: Annotated[
        str,
        Meta(
            pattern=r"^$|^\s*\S+(\s+\S+){4}\s*$",
            description='schedule of the model refresh in cron syntax, UTC, such as "0 3 * * *"; empty: never',
        ),
    ] = ""
    refresh_data: Annotated[
        str, Meta(description="folder of labelled data sets that a refresh trains on in addition; empty: stored articles")
    ] = ""
    refresh_tests: Annotated[
        str, Meta(description="folder of frozen test sets (JSONL, also .gz) on which a refreshed model must not be worse")
    ] = ""
    gate_margin: Annotated[
        float, Meta(ge=0, le=0.2, description="maximum loss of a language or class of a frozen test set for a promotion, as a share")
    ] = 0.01
    webhooks: Annotated[tuple[Webhook, ...], Meta(description="endpoints for alerts, one [[webhooks]] table each (TOML file only)")] = ()
    dashboard_url: Annotated[
        str,
        Meta(pattern="^$|^https?://", description="public address of the dashboard, for links to an alert's page; empty: no links"),
    ] = ""
    dashboard_host: Annotated[str, Meta(min_length=1, description="address on which the dashboard listens")] = "127.0.0.1"
    dashboard_port: Annotated[Port, Meta(description="port of the dashboard; 0: any free port")] = 8050
    dashboard_login: Annotated[
        Literal["password", "header", "none"],
        Meta(
            description="authentication of the dashboard: password (accounts), header (a proxy in front of it) or none "
            "(loopback addresses only); docs/security.md"
        ),
    ] = "password"
    dashboard_proxies: Annotated[
        str,
        Meta(description='proxies whose X-Forwarded headers are trusted, such as "127.0.0.1, 10.0.0.0/8"'),
    ] = ""
    dashboard_user_header: Annotated[
        str, Meta(pattern="^[A-Za-z0-9-]*$", description="header in which a proxy names the user, for dashboard_login = header")
    ] = ""
    dashboard_unknown_role: Annotated[
        Literal["none", "viewer", "analyst"],
        Meta(description='role of users whom a proxy names and who have no account; "none": no access'),
    ] = "none"
    dashboard_viewers: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="maximum number of open pages with live updates, each of which takes a thread; further pages poll "
            "every few seconds",
        ),
    ] = 100
    session_idle_h: Annotated[float, Meta(gt=0, le=8760, description="a session ends after so long without an open page, hours")] = 12
    session_max_h: Annotated[float, Meta(gt=0, le=8760, description="a session ends after so long in any case, hours")] = 168
    metrics_host: Annotated[
        str, Meta(min_length=1, description="address on which /metrics and /healthz listen, without authentication; 0.0.0.0: all addresses")
    ] = "127.0.0.1"
    api_per_minute: Annotated[int, Meta(ge=1, le=1_000_000, description="maximum number of requests per minute for each API token")] = 600
    api_streams: Annotated[
        int,
        Meta(ge=0, le=500, description="maximum number of clients of the API's event stream, each of which takes a thread"),
    ] = 50
    api_classify: Annotated[
        bool, Meta(description="let the API classify texts; a separate dashboard process loads the model at the first request")
    ] = True
    metrics_port: Annotated[Port, Meta(description="port of /metrics and /healthz of a worker or crawler; 0: none")] = 0
    log_format: Annotated[Literal["auto", "human", "json"], Meta(description="auto: human on a terminal, JSON otherwise")] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="lowest level that is logged")] = "info"


class SettingRow(NamedTuple):
    """One setting as it is documented."""

    name: str
    default: str
    help: str


def rows(kind: type[msgspec.Struct] = Settings) -> Iterator[SettingRow]:
    """Name, default (as JSON) and help text of each setting, in order."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        metas = [meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, Meta) and meta.description]
        default = "" if field.required else msgspec.json.encode(field.default).decode()
        yield SettingRow(field.name, default, metas[-1].description or "" if metas else "")


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the environment variables that `build` reads, without webhooks, which only a file can hold."""
    values = msgspec.structs.asdict(settings)
    return {ENV_PREFIX + row.name.upper(): str(values[row.name]) for row in rows() if row.name != "webhooks"}


def build(file: Mapping[str, Any], environment: Mapping[str, str], *, where: str = "settings") -> Settings:
    """Build the settings from a TOML table and the environment.

    Args:
        file: the table of the settings file
        where: name of the file in messages

    Raises:
        SettingsError: a setting is unknown, renamed or invalid; the message names it and its place
    """
    names = {row.name for row in rows()} - {"webhooks"}
    _check_renamed(file, environment, where)
    merged: dict[str, Any] = dict(file)
    from_env: set[str] = set()
    for name in sorted(names):
        value = environment.get(ENV_PREFIX + name.upper())
        if value is not None:
            merged[name] = value
            from_env.add(name)
    unknown = sorted(set(merged) - names - {"webhooks"})
    if unknown:
        raise SettingsError(f"{where}: there is no setting {unknown[0]!r}; `tocsin settings` lists them")
    hints = get_type_hints(Settings, include_extras=True)
    for name, value in merged.items():
        try:
            msgspec.convert(value, hints[name], strict=name not in from_env)
        except msgspec.ValidationError as error:
            place = f"environment variable {ENV_PREFIX}{name.upper()}" if name in from_env else f"{where}: {name}"
            raise SettingsError(f"{place}: {error}{_severity_hint(str(error))}") from error
    return msgspec.convert(merged, Settings, strict=False)


def _check_renamed(file: Mapping[str, Any], environment: Mapping[str, str], where: str) -> None:
    tables = file.get("webhooks")
    hooks = [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []
    for old, new in RENAMED.items():
        if ENV_PREFIX + old.upper() in environment:
            raise SettingsError(f"environment variable {ENV_PREFIX}{old.upper()} is now called {ENV_PREFIX}{new.upper()}")
        if old in file:
            raise SettingsError(f"{where}: {old!r} is now called {new!r}")
        if any(old in hook for hook in hooks):
            raise SettingsError(f"{where}: webhooks: {old!r} is now called {new!r}")


def _severity_hint(message: str) -> str:
    """Names the new severity where a message is about an old one."""
    found = next((old for old in RENAMED_SEVERITIES if f"'{old}'" in message), None)
    return f"; severity {found!r} is now called {RENAMED_SEVERITIES[found]!r}" if found else ""
