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
from core.records import MIN_MATERIALITY, RENAMED_SEVERITIES

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
            description="URL to which alerts are posted: https, or http on your own network. For the format email: "
            "smtp(s)://user:password@host:port?from=a@b.example&to=c@d.example",
        ),
    ]
    format: Annotated[
        Literal["json", "alertmanager", "slack", "feishu", "dingtalk", "wecom", "email"],
        Meta(
            description="Format of the messages: json (described in docs/webhook.schema.json), alertmanager, slack, feishu, "
            "dingtalk, wecom or email"
        ),
    ] = "json"
    secret: Annotated[
        str,
        Meta(
            description="Secret that signs the messages. For json and alertmanager: whsec_ followed by base64 (Standard "
            "Webhooks). For feishu and dingtalk: the secret of the bot. If empty, messages are not signed"
        ),
    ] = ""
    previous_secret: Annotated[
        str,
        Meta(
            description="For json and alertmanager: the secret that was used before a rotation. While it is set, each "
            "message is signed with both secrets"
        ),
    ] = ""
    keyword: Annotated[
        str,
        Meta(
            max_length=50,
            description="For feishu and dingtalk: a keyword of the bot. It is added to every message, because these bots reject "
            "messages without one of their keywords",
        ),
    ] = ""
    language: Annotated[Literal["en", "zh"], Meta(description="Language of the alert texts: en or zh")] = "en"
    min_severity: Annotated[Literal["info", "warning", "critical"], Meta(description="Lowest severity that is sent")] = "info"
    series: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description='Send only alerts on series that match one of these patterns, such as "topic:*" or "company:AAPL". '
            "If empty, alerts on all series are sent"
        ),
    ] = ()
    rules: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(
            description="Send only alerts of rules that match one of these patterns (* matches anything). If empty, alerts "
            "of all rules are sent"
        ),
    ] = ()
    paused: Annotated[bool, Meta(description="Send nothing to this endpoint. `tocsin webhooks test` still works")] = False
    allow_private: Annotated[bool, Meta(description="Allow a loopback or private address")] = False
    name: Annotated[str, Meta(description="Name of the endpoint in the delivery log. If empty, the host of the URL is used")] = ""
    quiet_hours: Annotated[
        str,
        Meta(
            description='Quiet hours of this endpoint, which replace the setting quiet_hours. With "none", the endpoint has no quiet hours'
        ),
    ] = ""
    group_by: Annotated[
        tuple[Literal["rule", "series", "kind", "severity"], ...],
        Meta(
            description="Group alerts that have the same value of these fields: rule, series, kind (topic, company ...) and "
            "severity. If empty, all alerts form one group"
        ),
    ] = ()
    group_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Time in seconds for which a new group waits for further alerts, such as 30 for a chat. With 0, each "
            "alert is sent alone and immediately",
        ),
    ] = 0.0
    group_interval_s: Annotated[
        float, Meta(ge=1, le=86_400, description="Minimum time in seconds between two updates of a group that has been sent")
    ] = 300.0
    repeat_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=7 * 86_400,
            description="Interval in seconds after which an alert is sent again while it is firing and not acknowledged, "
            "such as 14400. With 0, alerts are not repeated",
        ),
    ] = 0.0
    send_resolved: Annotated[bool, Meta(description="Also send a message when an alert that was sent is resolved")] = False
    digest: Annotated[
        str,
        Meta(
            description='Send digests of new alerts at these times instead of single alerts: "hourly", "08:00 Asia/Shanghai" '
            'or "Mon-Fri 08:00,18:00 Asia/Shanghai". If empty, no digests are sent'
        ),
    ] = ""


Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults."""

    data_dir: Annotated[str, Meta(description="Folder of the embedded store and the outbox")] = "~/.local/share/tocsin"
    broker: Annotated[
        str,
        Meta(
            min_length=1,
            description='Kafka bootstrap servers as "host:port,host:port", or "embedded". With TLS and a user: '
            '"sasl_ssl://user:password@host:port?ca=FILE" (see docs/security.md)',
        ),
    ] = "embedded"
    broker_max_mb: Annotated[
        int,
        Meta(
            ge=1,
            description="Memory limit of the embedded broker in megabytes. If the broker exceeds the limit, it is emptied and restarted",
        ),
    ] = 1000
    topic_prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]*$", description="Prefix of all Kafka topic names")] = ""
    partitions: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Number of partitions of the topic `articles` when it is created. It is also the maximum number of workers",
        ),
    ] = 4
    replication: Annotated[int, Meta(ge=1, le=9, description="Replication factor of Kafka topics when they are created")] = 1
    consumer_group: Annotated[str, Meta(min_length=1, description="Kafka consumer group of the workers")] = "tocsin"
    store: Annotated[
        str,
        Meta(
            min_length=1,
            description='URL of a ClickHouse server, "clickhouse://user:password@host:9000/database", or "embedded" (chdb in data_dir)',
        ),
    ] = "embedded"
    model: Annotated[
        str,
        Meta(
            min_length=1,
            description='Model that scores articles: "champion" (the promoted version, or the shipped one if none was '
            'promoted), "shipped", the folder of a model version, or "keyword" (word lists, for tests only)',
        ),
    ] = "champion"
    model_threads: Annotated[int, Meta(ge=0, le=512, description="Number of CPU threads of the model. With 0, all cores are used")] = 0
    max_tokens: Annotated[int, Meta(ge=8, le=512, description="Maximum number of tokens of the title and lead that the model reads")] = 64
    batch_max: Annotated[int, Meta(ge=1, le=100_000, description="Maximum number of articles that are scored in one batch")] = 512
    batch_wait_ms: Annotated[int, Meta(ge=1, le=10_000, description="Maximum time in milliseconds to wait until a batch is full")] = 50
    dead_letter_max_ratio: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="Maximum ratio of unusable records among the last 1,000. A worker stops if the ratio is higher and "
            "at least 100 records are unusable. With 1, there is no limit",
        ),
    ] = 0.5
    companies: Annotated[str, Meta(description="TOML file of companies and their aliases. If empty, the shipped list is used")] = ""
    watchlists: Annotated[
        str, Meta(description="TOML file of watchlists, each of which becomes a series. If empty, no watchlists are read from a file")
    ] = ""
    sources: Annotated[str, Meta(description="TOML file of the feeds to crawl")] = ""
    feeds_allow_private: Annotated[
        bool, Meta(description="Allow loopback and private addresses for feeds that are tested or added on the dashboard")
    ] = False
    alert_history_days: Annotated[
        int, Meta(ge=1, le=366, description="Length in days of the history from which the baseline of a series is estimated")
    ] = 28
    alert_warmup_h: Annotated[
        float, Meta(ge=0, description="Number of hours after the first article during which no alerts are raised")
    ] = 12
    alert_max_age_s: Annotated[
        int,
        Meta(
            ge=60, le=86_400, description="Maximum age in seconds of a story that can raise an alert. Older stories count only as history"
        ),
    ] = 3600
    alert_false_per_week: Annotated[
        float, Meta(gt=0, le=1000, description="Expected number of false alarms of the spike detector per week, over all series together")
    ] = 1.0
    alert_outages_per_week: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="Expected number of false outage alerts per week, over all sources and the whole feed. With 0, there "
            "are no outage alerts",
        ),
    ] = 0.25
    alert_min_stories: Annotated[int, Meta(ge=1, description="Minimum number of negative stories for an alert")] = 3
    alert_min_sources: Annotated[int, Meta(ge=1, description="Minimum number of independent sources for an alert")] = 2
    alert_min_ratio: Annotated[float, Meta(ge=1, description="Minimum ratio of observed to expected stories for an alert")] = 2.0
    alert_min_materiality: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Minimum probability that an article is relevant to prices (materiality of level 2 or more). Articles below it do "
            "not count in alerts and charts. Articles that were scored without this prediction always count. With 0, all articles count",
        ),
    ] = MIN_MATERIALITY
    alert_cooldown_s: Annotated[int, Meta(ge=0, description="Minimum time in seconds between two alerts on one series")] = 14_400
    alert_rules: Annotated[
        str,
        Meta(
            description="TOML file of additional alert rules, which may also replace the spike detector. If empty, no "
            "rules are read from a file"
        ),
    ] = ""
    alert_resolve_after_s: Annotated[
        int,
        Meta(
            ge=60,
            le=30 * 86_400,
            description="Time in seconds for which a series must stay below the threshold until its alert is resolved",
        ),
    ] = 3600
    alert_inhibit: Annotated[
        str,
        Meta(
            description='Inhibition rules as "KIND > KIND, KIND; ...". Alerts on the first kind suppress alerts of the same '
            "episode on the other kinds (* matches every kind). If empty, no alerts are inhibited"
        ),
    ] = "market > *; sector > company"
    quiet_hours: Annotated[
        str,
        Meta(description='Times at which nothing is delivered, such as "22:00-07:00 Asia/Shanghai; closed XSHG" or "outside XNYS"'),
    ] = ""
    quiet_hours_except: Annotated[
        Literal["info", "warning", "critical", "none"],
        Meta(description='Lowest severity that is delivered during quiet hours too. With "none", nothing is delivered'),
    ] = "critical"
    retention_days: Annotated[
        int,
        Meta(
            ge=0,
            description="Number of days for which articles are kept. Older months are deleted from the store. With 0, everything is kept",
        ),
    ] = 0
    refresh_cron: Annotated[
        str,
        Meta(
            pattern=r"^$|^\s*\S+(\s+\S+){4}\s*$",
            description='Schedule of the model refresh in cron syntax and UTC, such as "0 3 * * *". If empty, no refresh is scheduled',
        ),
    ] = ""
    refresh_data: Annotated[
        str,
        Meta(
            description="Folder of labelled data sets on which a refresh trains in addition to the labels. If empty, stored "
            "articles are used"
        ),
    ] = ""
    refresh_tests: Annotated[
        str, Meta(description="Folder of frozen test sets (JSONL, also .gz) on which a refreshed model must not be worse")
    ] = ""
    gate_margin: Annotated[
        float,
        Meta(ge=0, le=0.2, description="Maximum loss, as a share, that a promotion may cause for a language or class of a frozen test set"),
    ] = 0.01
    webhooks: Annotated[
        tuple[Webhook, ...], Meta(description="Endpoints for alerts, with one [[webhooks]] table for each endpoint (TOML file only)")
    ] = ()
    dashboard_url: Annotated[
        str,
        Meta(
            pattern="^$|^https?://",
            description="Public URL of the dashboard, used for links to alerts. If empty, messages contain no links",
        ),
    ] = ""
    dashboard_host: Annotated[str, Meta(min_length=1, description="Address on which the dashboard listens")] = "127.0.0.1"
    dashboard_port: Annotated[Port, Meta(description="Port of the dashboard. With 0, any free port is used")] = 8050
    dashboard_login: Annotated[
        Literal["password", "header", "none"],
        Meta(
            description="Authentication of the dashboard: password (accounts), header (a proxy in front of the dashboard) or "
            "none (loopback addresses only). See docs/security.md"
        ),
    ] = "password"
    dashboard_proxies: Annotated[
        str,
        Meta(description='Proxies whose X-Forwarded headers are trusted, such as "127.0.0.1, 10.0.0.0/8"'),
    ] = ""
    dashboard_user_header: Annotated[
        str, Meta(pattern="^[A-Za-z0-9-]*$", description="Header in which the proxy sends the user name, for dashboard_login = header")
    ] = ""
    dashboard_unknown_role: Annotated[
        Literal["none", "viewer", "analyst"],
        Meta(description='Role of users whom the proxy has authenticated and who have no account. With "none", they have no access'),
    ] = "none"
    dashboard_viewers: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="Maximum number of open pages with live updates. Each of them needs a thread; further pages poll every few seconds",
        ),
    ] = 100
    session_idle_h: Annotated[float, Meta(gt=0, le=8760, description="Number of hours without an open page after which a session ends")] = (
        12
    )
    session_max_h: Annotated[float, Meta(gt=0, le=8760, description="Number of hours after which a session ends in any case")] = 168
    metrics_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address on which /metrics and /healthz are served, without authentication. With 0.0.0.0, they are "
            "served on all addresses",
        ),
    ] = "127.0.0.1"
    api_per_minute: Annotated[int, Meta(ge=1, le=1_000_000, description="Maximum number of requests per minute for each API token")] = 600
    api_streams: Annotated[
        int,
        Meta(ge=0, le=500, description="Maximum number of clients of the event stream of the API. Each of them needs a thread"),
    ] = 50
    api_classify: Annotated[
        bool,
        Meta(description="Allow clients of the API to classify texts. A separate dashboard process loads the model at the first request"),
    ] = True
    metrics_port: Annotated[
        Port, Meta(description="Port on which a worker or crawler serves /metrics and /healthz. With 0, they are not served")
    ] = 0
    log_format: Annotated[
        Literal["auto", "human", "json"], Meta(description="Format of the log: human, json, or auto (human on a terminal, JSON otherwise)")
    ] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lowest level of messages that are logged")] = (
        "info"
    )


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
