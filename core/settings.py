"""Every setting: its name, its default and what it does, in one place.

A setting comes from the environment (TOCSIN_ and its name in capitals), else from the TOML file, else from its default.
docs/settings.md is made from this file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from core.errors import SettingsError

ENV_PREFIX = "TOCSIN_"


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One endpoint that alerts are sent to: a [[webhooks]] table of the settings file."""

    url: Annotated[
        str,
        Meta(
            pattern="^(https?|smtps?)://",
            description="where to POST, https unless it is your own network; "
            "of email: smtp(s)://user:password@host:port?from=a@b.example&to=c@d.example",
        ),
    ]
    format: Annotated[
        Literal["json", "alertmanager", "slack", "feishu", "dingtalk", "wecom", "email"],
        Meta(description="json (docs/webhook.schema.json), alertmanager, slack, feishu, dingtalk, wecom or email"),
    ] = "json"
    secret: Annotated[
        str,
        Meta(
            description="json and alertmanager: whsec_ and base64, as Standard Webhooks has it; feishu and dingtalk: the bot's own; "
            "empty: not signed"
        ),
    ] = ""
    previous_secret: Annotated[
        str, Meta(description="json and alertmanager: the secret before this one; while it is set, both sign what is sent")
    ] = ""
    language: Annotated[Literal["en", "zh"], Meta(description="in which language people read alerts there")] = "en"
    min_severity: Annotated[Literal["info", "warning", "critical"], Meta(description="the least severe alerts that are sent there")] = (
        "info"
    )
    series: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description='only alerts of these series are sent there, such as "topic:*" or "company:AAPL"; empty: all'),
    ] = ()
    rules: Annotated[
        tuple[Annotated[str, Meta(min_length=1)], ...],
        Meta(description="only alerts of these rules are sent there, * stands for anything; empty: all"),
    ] = ()
    paused: Annotated[bool, Meta(description="send nothing there for now; `tocsin webhooks test` still does")] = False
    allow_private: Annotated[bool, Meta(description="let this endpoint lie on a loopback or private address")] = False
    name: Annotated[str, Meta(description="what the delivery log calls it; default: the host of the URL")] = ""
    quiet_hours: Annotated[str, Meta(description='its own, in place of the setting quiet_hours; "none": it has none')] = ""
    group_by: Annotated[
        tuple[Literal["rule", "series", "kind", "severity"], ...],
        Meta(description="alerts that agree in these are sent together: rule, series, kind (topic, company ...), severity; empty: all are"),
    ] = ()
    group_wait_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="a new group waits this long for others, seconds, 30 for a chat; 0: each alert alone, at once"),
    ] = 0.0
    group_interval_s: Annotated[
        float, Meta(ge=1, le=86_400, description="what joins a group that was sent is told at such intervals, seconds")
    ] = 300.0
    repeat_interval_s: Annotated[
        float,
        Meta(
            ge=0,
            le=7 * 86_400,
            description="what still fires, and nobody acknowledged, is sent again after this, seconds, such as 14400; 0: never",
        ),
    ] = 0.0
    tell_resolved: Annotated[bool, Meta(description="tell it too that what was sent there is over")] = False
    digest: Annotated[
        str,
        Meta(
            description='not single alerts but what rang since the last time, when there is any: "hourly", "08:00 Asia/Shanghai" or '
            '"Mon-Fri 08:00,18:00 Asia/Shanghai"; empty: no digest'
        ),
    ] = ""


Port = Annotated[int, Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings, with their defaults."""

    data_dir: Annotated[str, Meta(description="folder of the embedded store and the outbox")] = "~/.local/share/tocsin"
    broker: Annotated[str, Meta(min_length=1, description='Kafka bootstrap servers, "host:port,host:port", or "embedded"')] = "embedded"
    broker_max_mb: Annotated[
        int, Meta(ge=1, description="the embedded broker is emptied and restarted when it holds more memory, 10^6 bytes")
    ] = 1000
    topic_prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._-]*$", description="put before each Kafka topic's name")] = ""
    partitions: Annotated[
        int, Meta(ge=1, le=1000, description="partitions of `articles` when it has to be created: as many workers can share the work")
    ] = 4
    replication: Annotated[int, Meta(ge=1, le=9, description="replicas of a topic that has to be created")] = 1
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
    max_tokens: Annotated[int, Meta(ge=8, le=512, description="tokens of title and lead that the model reads")] = 64
    batch_max: Annotated[int, Meta(ge=1, le=100_000, description="articles scored in one batch at most")] = 512
    batch_wait_ms: Annotated[int, Meta(ge=1, le=10_000, description="longest wait for a batch to fill, milliseconds")] = 50
    dead_share: Annotated[
        float,
        Meta(gt=0, le=1, description="a worker ends when a larger share of its last 1,000 records is unusable (at least 100); 1: never"),
    ] = 0.5
    companies: Annotated[str, Meta(description="TOML file of companies and their aliases; empty: the shipped list")] = ""
    watchlists: Annotated[str, Meta(description="TOML file of watchlists, each a series of its own; empty: none")] = ""
    sources: Annotated[str, Meta(description="TOML file of the feeds to crawl")] = ""
    feeds_allow_private: Annotated[
        bool, Meta(description="let feeds that people try or add on the dashboard lie on a loopback or private address")
    ] = False
    alert_history_days: Annotated[int, Meta(ge=1, le=366, description="how far back a series' own past is read, days")] = 28
    alert_warmup_h: Annotated[float, Meta(ge=0, description="no alert before the feed was followed this long, hours")] = 12
    alert_lateness_s: Annotated[
        int,
        Meta(ge=60, le=86_400, description="a story older than this is history: it counts, but rings nothing, seconds"),
    ] = 3600
    alert_false_per_week: Annotated[float, Meta(gt=0, le=1000, description="false alarms a week, over all series together")] = 1.0
    alert_silence_per_week: Annotated[
        float, Meta(ge=0, le=1000, description="false alarms of silence a week, over all sources and the whole feed; 0: none rings")
    ] = 0.25
    alert_min_stories: Annotated[int, Meta(ge=1, description="negative stories that an alert needs at least")] = 3
    alert_min_sources: Annotated[int, Meta(ge=1, description="independent sources that an alert needs at least")] = 2
    alert_min_ratio: Annotated[float, Meta(ge=1, description="observed over expected that an alert needs at least")] = 2.0
    alert_cooldown_s: Annotated[int, Meta(ge=0, description="a series that rang stays quiet this long, seconds")] = 14_400
    alert_rules: Annotated[str, Meta(description="TOML file of rules of your own, beside the detector or in its place; empty: none")] = ""
    alert_resolve_after_s: Annotated[
        int, Meta(ge=60, le=30 * 86_400, description="an alert resolves when its series was not over its bar this long, seconds")
    ] = 3600
    alert_inhibit: Annotated[
        str, Meta(description='which alerts speak for others of the same episode, "KIND > KIND, KIND; ..." (* is every kind); empty: none')
    ] = "market > *; sector > company"
    quiet_hours: Annotated[
        str,
        Meta(description='when endpoints are left alone, such as "22:00-07:00 Asia/Shanghai; closed XSHG" or "outside XNYS"'),
    ] = ""
    quiet_hours_except: Annotated[
        Literal["info", "warning", "critical", "none"],
        Meta(description='the least severity that is delivered in quiet hours all the same; "none": nothing is'),
    ] = "critical"
    retention_days: Annotated[int, Meta(ge=0, description="months older than this leave the store; 0: keep everything, days")] = 0
    refresh_cron: Annotated[
        str, Meta(pattern=r"^$|^\s*\S+(\s+\S+){4}\s*$", description='when to refresh the model, such as "0 3 * * *" (UTC); empty: never')
    ] = ""
    refresh_data: Annotated[str, Meta(description="folder of labelled sets that a refresh rehearses; empty: stored articles")] = ""
    refresh_tests: Annotated[str, Meta(description="folder of frozen tests (JSONL, also .gz) that a refresh must not do worse on")] = ""
    gate_margin: Annotated[
        float, Meta(ge=0, le=0.2, description="what a language or class of a frozen test may lose when a model is promoted, as a share")
    ] = 0.01
    webhooks: Annotated[tuple[Webhook, ...], Meta(description="endpoints for alerts, one [[webhooks]] table each (TOML file only)")] = ()
    dashboard_url: Annotated[
        str,
        Meta(pattern="^$|^https?://", description="where people reach the dashboard, for links to an alert's page; empty: no links"),
    ] = ""
    dashboard_host: Annotated[str, Meta(min_length=1, description="address the dashboard listens on")] = "127.0.0.1"
    dashboard_port: Annotated[Port, Meta(description="port of the dashboard; 0: any free one")] = 8050
    dashboard_login: Annotated[
        Literal["password", "header", "none"],
        Meta(
            description="how the dashboard knows people: by a password of their account, by the header of a proxy before it, "
            "or not at all (only on a loopback address); docs/security.md"
        ),
    ] = "password"
    dashboard_proxies: Annotated[
        str,
        Meta(description='proxies before the dashboard, whose X-Forwarded headers are believed, such as "127.0.0.1, 10.0.0.0/8"'),
    ] = ""
    dashboard_user_header: Annotated[
        str, Meta(pattern="^[A-Za-z0-9-]*$", description="the header in which a proxy names who is logged in, for dashboard_login = header")
    ] = ""
    dashboard_unknown_role: Annotated[
        Literal["none", "viewer", "analyst"],
        Meta(description='what those may do whom a proxy names and who have no account; "none": nothing'),
    ] = "none"
    dashboard_viewers: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="how many open pages are told at once when something is new, each by a thread of its own; "
            "further ones ask every few seconds",
        ),
    ] = 100
    session_idle_h: Annotated[
        float, Meta(gt=0, le=8760, description="a login ends when no page was open for so long, hours; an open page keeps it")
    ] = 12
    session_max_h: Annotated[float, Meta(gt=0, le=8760, description="a login ends after so long in any case, hours")] = 168
    metrics_host: Annotated[
        str, Meta(min_length=1, description="address of /metrics and /healthz, which ask nobody who they are; 0.0.0.0: every one")
    ] = "127.0.0.1"
    api_per_minute: Annotated[int, Meta(ge=1, le=1_000_000, description="requests a minute that a token of the API may make")] = 600
    api_streams: Annotated[
        int,
        Meta(ge=0, le=500, description="how many may listen to the API's stream at once; each takes a thread of the dashboard's server"),
    ] = 50
    api_classify: Annotated[
        bool, Meta(description="let the API classify texts; a dashboard of its own loads the model when it is asked for the first time")
    ] = True
    metrics_port: Annotated[Port, Meta(description="port of /metrics and /healthz of a worker or crawler; 0: none")] = 0
    log_format: Annotated[Literal["auto", "human", "json"], Meta(description="auto: human on a terminal, JSON otherwise")] = "auto"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the least that is logged")] = "info"


class SettingRow(NamedTuple):
    """One setting as a person reads of it."""

    name: str
    default: str
    help: str


def rows(kind: type[msgspec.Struct] = Settings) -> Iterator[SettingRow]:
    """Each setting's name, default (as JSON) and help, in order."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        metas = [meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, Meta) and meta.description]
        default = "" if field.required else msgspec.json.encode(field.default).decode()
        yield SettingRow(field.name, default, metas[-1].description or "" if metas else "")


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the environment variables that `build` reads; without webhooks, which a file alone can hold."""
    values = msgspec.structs.asdict(settings)
    return {ENV_PREFIX + row.name.upper(): str(values[row.name]) for row in rows() if row.name != "webhooks"}


def build(file: Mapping[str, Any], environment: Mapping[str, str], *, where: str = "settings") -> Settings:
    """Settings from the table of a TOML file and the environment. Raises SettingsError naming the setting and its place."""
    names = {row.name for row in rows()} - {"webhooks"}
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
            raise SettingsError(f"{place}: {error}") from error
    return msgspec.convert(merged, Settings, strict=False)
