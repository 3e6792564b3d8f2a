"""A dashboard over a store of invented articles, as a separate process: `python -m tests.browser.site FOLDER`.

The embedded store allows one owner, so the tests send commands to this process. It prints its address, then reads one command per line
and responds to each with one JSON value: alert (raise a new alert), article (add an article), months (add two months of earlier news),
audit (actions on the model, newest first), break and mend (remove a table and restore it), down and up (stop the server and start
another), update (the same with another build), logout (end every session), quit.

There are four accounts: viewer, analyst and chief (an admin) with PASSWORD, and admin with a password for one login.

The address of a local feed is the value "feed" of the first response.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dash
import msgspec

from actions.account_service import AccountService
from core.log import configure
from core.records import (
    Alert,
    Article,
    CompanyCount,
    CompanyScore,
    Evidence,
    Language,
    Mention,
    Score,
    Scored,
    Severity,
    Why,
    WordCount,
    alert_id,
    article_id,
)
from core.series import company_series, sector_series, topic_series
from core.settings import Settings, Webhook
from dashboard.app import create_app
from dashboard.web.server import CHANGE_FEED, serve
from domain.accounts import Role
from storage.store import AuditEntry, DeadLetter, Delivery, Heartbeat, SourceVisit, Store, open_store
from tests.browser import newsroom
from tests.browser.versions import FIRST_AGE, IN_TESTS, LOSER_AGE, SECOND_AGE, Names, make_versions
from tocsin.runtime.first_login import FirstLogin, first_login
from tocsin.runtime.worker_process import utc_now
from tocsin.services.factory import services_of

PASSWORD = "一二三四五六七八九十甲乙"
HOSTILE_TITLE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=2"> =HYPERLINK("http://evil.invalid")'
COMPANIES = (
    ("NLS", "Northlight Solar", "energy"),
    ("HXD.SH", "恒曦电力", "energy"),
    ("QBK", "Quayside Bank", "financials"),
    ("LMC.SZ", "澜木芯片", "technology"),
)
TITLES = {
    ("energy", "en"): (
        "{c} halts two plants after inspectors find cracked turbines",
        "Grid operator fines {c} over missed deliveries",
        "{c} brings a new offshore field on stream",
    ),
    ("energy", "zh"): ("{c}因设备故障停产两座电厂", "{c}被电网处以罚款", "{c}新海上项目投产"),
    ("financials", "en"): (
        "{c} sets aside more for bad loans",
        "Depositors queue as {c} freezes transfers",
        "{c} lifts its full-year outlook",
    ),
    ("financials", "zh"): ("{c}上调坏账拨备", "{c}暂停转账引发储户担忧", "{c}上调全年预期"),
    ("technology", "en"): ("{c} recalls a line of sensors", "{c} loses its largest customer", "{c} opens a second foundry"),
    ("technology", "zh"): ("{c}召回一批传感器", "{c}失去最大客户", "{c}第二座晶圆厂开工"),
}
GENERAL = {
    "macro": ("Factory orders slip for a third month", "Retail sales beat every forecast", "工厂订单连续三个月下滑", "零售额好于所有预测"),
    "central_banks": ("Rate setters leave the door open", "Minutes show a split board", "央行维持利率不变", "会议纪要显示分歧"),
    "markets": ("Shares drift lower in thin trade", "Small caps lead a late rally", "两市缩量震荡", "小盘股尾盘走强"),
    "earnings": (
        "Quarterly profit misses by a wide margin",
        "Margins widen on cheaper freight",
        "季度利润不及预期",
        "运费下降带动毛利率回升",
    ),
    "currencies": (
        "The harbour dollar slides to a two-year low",
        "Peg holds through a quiet session",
        "港湾元跌至两年低点",
        "汇率窄幅波动",
    ),
    "real_estate": (
        "Developer asks bondholders for more time",
        "Home starts recover from a weak spring",
        "开发商寻求债券展期",
        "新开工面积回升",
    ),
}
LANGUAGES: tuple[Language, ...] = ("en", "zh")
SOURCES = {
    "en": ("harbour-post.example", "ledger-wire.example", "tidal-news.example"),
    "zh": ("海港财经.example", "账本快讯.example", "潮汐新闻.example"),
}


def sentiment(negativity: float, rng: random.Random) -> tuple[float, float, float]:
    """Three probabilities that sum to 1, the first near `negativity`."""
    negative = min(0.97, max(0.02, rng.gauss(negativity, 0.16)))
    neutral = (1 - negative) * rng.uniform(0.25, 0.7)
    return negative, neutral, 1 - negative - neutral


def scored(
    number: int,
    moment: datetime,
    title: str,
    topic: str,
    language: Language,
    p: tuple[float, float, float],
    company: tuple[str, str, str] | None = None,
    url: str = "",
) -> Scored:
    """One invented article with its score."""
    source = SOURCES[language][number % 3]
    url = url or f"https://{SOURCES['en'][number % 3]}/story/{number}"
    id_ = article_id(url=url, source=source, guid="", title=title, published_at=moment)
    mentions = (Mention(company=company[0], surface=company[1], sector=company[2]),) if company else ()
    article = Article(
        id=id_,
        url=url,
        source=source,
        language=language,
        title=title,
        text=title,
        published_at=moment,
        fetched_at=moment,
        mentions=mentions,
    )
    companies = (CompanyScore(company=company[0], sector=company[2], p_negative=p[0], p_neutral=p[1], p_positive=p[2]),) if company else ()
    score = Score(
        id=id_,
        source=source,
        language=language,
        published_at=moment,
        story=id_,
        p_negative=p[0],
        p_neutral=p[1],
        p_positive=p[2],
        topics={topic: 0.9},
        companies=companies,
        model="invented",
        scored_at=moment,
    )
    return Scored(article=article, score=score)


def history(now: datetime, hours: int = 30) -> Iterator[Scored]:
    """Quiet days, then a crisis in energy during the last two hours."""
    rng = random.Random(7)
    number = 0
    for minute in range(hours * 60, 0, -3):
        moment = now - timedelta(minutes=minute, seconds=rng.randrange(60))
        crisis = minute <= 100
        for topic in [*GENERAL, "energy", "financials", "technology"]:
            busy = 0.75 if topic == "energy" and crisis else 0.16
            if rng.random() > busy:
                continue
            number += 1
            language = rng.choice(LANGUAGES)
            wave = 0.33 + 0.16 * math.sin(minute / 190 + len(topic))
            negativity = 0.8 if topic == "energy" and crisis else wave
            p = sentiment(negativity, rng)
            company = None
            if topic in GENERAL:
                title = GENERAL[topic][(0 if p[0] > 0.4 else 1) + (2 if language == "zh" else 0)]
            else:
                company = rng.choice([item for item in COMPANIES if item[2] == topic])
                title = TITLES[topic, language][rng.randrange(2) if p[0] > 0.4 else 2].format(c=company[1])
            yield scored(number, moment, title, topic, language, p, company)


def months(now: datetime) -> Iterator[Scored]:
    """Two months of quiet days before `history`; in the second one, negative news about property increases."""
    rng = random.Random(11)
    for hour in range(60 * 24, 36, -3):
        late = hour < 20 * 24
        for number, topic in enumerate(GENERAL):
            if rng.random() < (0.9 if topic == "real_estate" and late else 0.3):
                language = rng.choice(LANGUAGES)
                bad = 0.75 if topic == "real_estate" and late else 0.35
                title = GENERAL[topic][(0 if bad > 0.4 else 1) + (2 if language == "zh" else 0)]
                yield scored(50_000 + hour * 10 + number, now - timedelta(hours=hour), title, topic, language, sentiment(bad, rng))


def alert(
    series: str, start: datetime, severity: Severity, observed: int, expected: float, surprise: float, evidence: list[Evidence]
) -> Alert:
    """One alert with a window of a quarter of an hour."""
    return Alert(
        id=alert_id("negative-spike", series, start),
        rule="negative-spike",
        series=series,
        window_start=start,
        window_s=900,
        detected_at=start + timedelta(seconds=840),
        severity=severity,
        observed=observed,
        expected=expected,
        surprise=surprise,
        total=observed + 3,
        sources=3,
        evidence=tuple(evidence),
    )


def fill(store: Store, now: datetime) -> dict[str, str]:
    """Fill the store. Returns the ids that the tests use."""
    rows = list(history(now))
    hostile = [
        scored(90_001, now - timedelta(minutes=2), HOSTILE_TITLE, "energy", "en", (0.9, 0.06, 0.04), url="javascript:window.hacked=3"),
        scored(
            90_002,
            now - timedelta(minutes=1),
            "[click](javascript:alert(1)) \u202eelit desrever",
            "energy",
            "en",
            (0.88, 0.08, 0.04),
            url="data:text/html,<script>1</script>",
        ),
    ]
    rows += hostile
    store.articles.insert(rows)
    store.mentions.insert([row.score for row in rows])
    store.articles.insert_keys(rows)
    start = datetime.fromtimestamp((int(now.timestamp()) // 900 - 2) * 900, tz=UTC)
    window = [
        row
        for row in rows
        if start <= row.article.published_at < start + timedelta(seconds=900)
        and "energy" in row.score.topics
        and row.score.p_negative > 0.5
    ]
    evidence = [
        Evidence(
            id=row.article.id,
            title=row.article.title,
            url=row.article.url,
            source=row.article.source,
            published_at=row.article.published_at,
            p_negative=row.score.p_negative,
        )
        for row in [hostile[0], *window[:6]]
    ]
    why = Why(
        stories=11,
        decisive_count=2,
        decisive_article_ids=tuple(item.id for item in evidence[:2]),
        read=11,
        words=(WordCount(word="停产", stories=6), WordCount(word="<b>turbines</b>", stories=4)),
        companies=(CompanyCount(company="HXD.SH", stories=7), CompanyCount(company="A/B?c", stories=1)),
        first_source=evidence[1].source,
        first_at=evidence[1].published_at,
    )
    alerts = [
        msgspec.structs.replace(alert(topic_series("energy"), start, "critical", 11, 0.84, 8.31, evidence), why=why),
        alert(company_series("HXD.SH"), start - timedelta(minutes=15), "warning", 6, 0.42, 5.12, evidence[1:4]),
        alert(sector_series("financials"), start - timedelta(hours=5), "info", 4, 0.9, 4.0, []),
    ]
    store.alerts.insert(alerts)
    store.alerts.log_deliveries(
        [
            Delivery(
                alert_id=alerts[0].id,
                endpoint="desk-chat",
                attempt=1,
                sent_at=start + timedelta(seconds=841),
                status=503,
                error="Service Unavailable",
            ),
            Delivery(alert_id=alerts[0].id, endpoint="desk-chat", attempt=2, sent_at=start + timedelta(seconds=851), status=200),
            Delivery(
                alert_id=alerts[0].id,
                endpoint="pager",
                attempt=1,
                sent_at=start + timedelta(seconds=841),
                status=0,
                error="connection refused",
            ),
        ]
    )
    operations_reads(store, now)
    return {"energy": alerts[0].id, "company": alerts[1].id, "article": evidence[2].id}


def operations_reads(store: Store, now: datetime) -> None:
    """Processes, visits to sources, one of which fails, and dead letters."""
    found_text: dict[str, Any] = {"host": "desk-1", "version": "0.1.0", "started_at": now - timedelta(hours=5)}
    store.heartbeats.put(
        [
            Heartbeat(id="w1", roles=("work",), pid=41, at=now + timedelta(hours=1), model="tocsin-base-3", **found_text),
            Heartbeat(id="w2", roles=("work",), pid=42, at=now - timedelta(minutes=7), model="tocsin-base-3", **found_text),
            Heartbeat(id="c1", roles=("crawl",), pid=43, at=now + timedelta(hours=1), waiting=3, **found_text),
        ]
    )
    names = [name for language in LANGUAGES for name in SOURCES[language]]
    visits = [
        SourceVisit(
            source=name, url=f"https://{name}/feed", interval_s=120, at=now, outcome="ok", entries=20, ok_at=now,
            next_at=now + timedelta(hours=2),
        )
        for name in names[1:]
    ]  # fmt: skip
    failed: dict[str, Any] = {"outcome": "failed", "error": "answered 503 <b>Service</b> Unavailable", "failures": 4}
    failed["skipped"] = {"unusable": 2, "passed_over": 60}
    store.visits.put([*visits, SourceVisit(source=names[0], url=f"https://{names[0]}/feed", interval_s=120, at=now, **failed)])
    store.dead_letters.insert(
        [
            DeadLetter(
                topic="articles", partition=0, offset=n, failed_at=now, stage="decode", reason=f"byte {n} is not JSON", key=b"",
                value=b'{"source":"tidal-news.example"',
            )
            for n in range(3)
        ]
    )  # fmt: skip


FEED = """<rss version="2.0"><channel><title>Pier &lt;i&gt;Gazette&lt;/i&gt;</title>
<item><title>Harbour dredging resumes &lt;script&gt;window.hacked=7&lt;/script&gt;</title><link>https://pier.example/1</link></item>
<item><title>Ferry bonds slip again as crews vote</title><link>https://pier.example/2</link></item></channel></rss>"""


class _Feed(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/feed" else 404)
        self.send_header("Content-Type", "application/rss+xml")
        self.end_headers()
        if self.path == "/feed":
            self.wfile.write(FEED.encode())

    def log_message(self, *_args: object) -> None:
        """Discard requests."""


ROLES: Mapping[str, Role] = {"viewer": "viewer", "analyst": "analyst", "chief": "admin"}


def accounts(store: Store, roles: Mapping[str, Role]) -> tuple[FirstLogin, Callable[[], None]]:
    """Create accounts, name to role, and an admin if there are any. Returns its first login and a function that ends all sessions."""
    people = AccountService(store, lambda: datetime.now(UTC))
    first = first_login()
    if roles:
        people.add_first(first.account)
    for name, role in roles.items():
        people.add(people.make(name, role, PASSWORD, must_change=False), actor="site")

    def log_out() -> None:
        for name in (*roles, "admin"):
            people.log_out(name, actor="site")

    return first, log_out


def audited(store: Store) -> list[AuditEntry]:
    """Actions on the model, newest first."""
    return [each for each in store.audit.latest(50) if each.action.startswith(("model", "refresh"))]


def main(folder: str, scene: str = "test", port: str = "0") -> None:
    """Fill the store with a scene, serve it and execute commands. scene: test, or newsroom (tests.browser.newsroom)"""
    configure("human")  # to stderr: stdout is for responses
    store = open_store("embedded", Path(folder))
    store.migrate()
    now = utc_now()
    first, log_out = accounts(store, {} if scene == "newsroom" else ROLES)
    if scene == "newsroom":
        names = Names(*(f"tocsin-{now - age:%Y%m%d}" for age in (FIRST_AGE, SECOND_AGE, LOSER_AGE)))
        settings = newsroom.settings_of(folder)
        ids = newsroom.fill(store, settings, now, PASSWORD, names)
        lags = {"articles": [0, 2, 1, 0], "scores": [0, 0, 1, 0], "alerts": [0]}
    else:
        names, ids = IN_TESTS, fill(store, now)
        hooks = (Webhook(name="desk-chat", url="https://chat.example/hook"), Webhook(name="pager", url="https://pager.example/hook"))
        settings = Settings(data_dir=folder, feeds_allow_private=True, webhooks=hooks)
        lags = {"articles": [3, 40], "scores": [0], "alerts": []}
    feeds = ThreadingHTTPServer(("127.0.0.1", 0), _Feed)
    threading.Thread(target=feeds.serve_forever, daemon=True).start()
    make_versions(Path(folder), now, names)
    stack = contextlib.ExitStack()
    services = stack.enter_context(services_of(settings, store, utc_now))._replace(consumer_lag=lambda: lags)

    def made() -> dash.Dash:
        return create_app(store, settings, services=services)

    running = serve(made(), "127.0.0.1", int(port))
    try:
        feed = f"http://127.0.0.1:{feeds.server_port}/feed"
        print(json.dumps({"url": running.url, "link": first.link(running.url), "feed": feed, **ids}), flush=True)
        for number, line in enumerate(sys.stdin):
            answer: object = None
            match line.strip():
                case "alert":
                    moment = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) // 900 * 900, tz=UTC)
                    fresh = alert(company_series(f"NEW{number}"), moment, "warning", 5, 0.3, 5.5, [])
                    store.alerts.insert([fresh])
                    answer = fresh.id
                case "article":
                    row = scored(95_000 + number, datetime.now(UTC), f"Fresh story {number}", "macro", "en", (0.1, 0.2, 0.7))
                    store.articles.insert([row])
                    store.mentions.insert([row.score])
                    store.articles.insert_keys([row])
                    answer = row.article.id
                case "months":
                    rows = list(months(utc_now()))
                    store.articles.insert(rows)
                    store.mentions.insert([row.score for row in rows])
                    store.articles.insert_keys(rows)
                case "audit":
                    answer = [{"actor": each.actor, "action": each.action, "target": each.target} for each in audited(store)]
                case "break":
                    store.client.command("RENAME TABLE alerts TO alerts_gone")
                case "mend":
                    store.client.command("RENAME TABLE alerts_gone TO alerts")
                case "down":
                    running.close()
                case "up":
                    running = serve(made(), "127.0.0.1", running.port)
                case "update":
                    running.close()
                    later = made()
                    live = later.server.extensions[CHANGE_FEED]
                    live._snapshot = msgspec.structs.replace(live._snapshot, build="later")
                    running = serve(later, "127.0.0.1", running.port)
                case "logout":
                    log_out()
                case "quit":
                    break
            print(json.dumps(answer), flush=True)
    finally:
        running.close()
        stack.close()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:])
