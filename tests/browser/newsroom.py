"""A newsroom after two months of work, for `make screenshots`: the simulated newswire's stories, real detections, and a team's actions.

history and crises (tocsin.newswire) ─▶ scored articles ─▶ store ─▶ the detector over the last month ─▶ alerts, deliveries, verdicts

The articles follow from a fixed seed and the current time; nothing here is meant to resemble a real company or person.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from actions.account_service import AccountService
from core.records import Alert, Article, CompanyScore, MaterialityScore, Mention, Score, Scored, Severity, WatchlistScore, article_id
from core.settings import Settings, Webhook
from domain.accounts import Role
from domain.alert_lifecycle import EventKind, event
from domain.tokens import new_token
from storage.store import AuditEntry, DeadLetter, Delivery, Feed, Heartbeat, Label, SavedView, SourceVisit, Store
from stream.detection.explainer import Explainer
from stream.detection.replay import replay
from stream.detection.spike_rule import SpikeRule
from tests.browser.versions import Names
from tocsin.newswire.cast import PAPERS, companies, companies_path
from tocsin.newswire.script import Plan, PublishedArticle, crisis, history
from tocsin.services.replay import load_history

SEED = 7
MONTH, EARLIER = timedelta(days=31), timedelta(days=30)
PER_DAY, PER_DAY_EARLIER = 560, 110
CRISES = (
    # sector, main company, time since its beginning, stories, duration
    ("real_estate", "YUNLAN.NW", timedelta(minutes=75), 60, timedelta(minutes=60)),
    ("banks", "HESTERBY.NW", timedelta(hours=9), 34, timedelta(minutes=50)),
    ("semiconductors", "XINJI.NW", timedelta(days=3, hours=5), 30, timedelta(minutes=60)),
    ("banks", "TONGXI.NW", timedelta(days=8, hours=2), 28, timedelta(minutes=70)),
    ("autos", "CORVANTRA.NW", timedelta(days=13, hours=7), 26, timedelta(minutes=60)),
    ("technology", "NIMBARRA.NW", timedelta(days=19, hours=3), 24, timedelta(minutes=50)),
    ("energy", "NORTHOLM.NW", timedelta(days=25, hours=6), 22, timedelta(minutes=60)),
)
SECTOR_TOPICS = {
    "banks": "financials",
    "real_estate": "real_estate",
    "technology": "technology",
    "semiconductors": "technology",
    "energy": "energy",
    "materials": "commodities",
}
HOOKS = (
    Webhook(name="newsroom-chat", url="https://chat.example/hook", format="slack"),
    Webhook(name="risk-team", url="https://risk.example/hook"),
    Webhook(name="on-call", url="https://pager.example/hook", min_severity="critical"),
)
TEAM: tuple[tuple[str, Role], ...] = (("mei.chen", "admin"), ("j.alvarez", "analyst"), ("lin.wei", "analyst"), ("t.okafor", "viewer"))
WATCHLISTS = """# Watchlists of the credit team and the technology team.
[[watchlist]]
name = "property_credit"
title_en = "Property developers' debt"
title_zh = "房企债务"
companies = ["YUNLAN.NW", "QIYUE.NW", "JIWAN.NW", "JINGLU.NW"]
keywords = ["developer | 房企 | 开发商", "+bond | bonds | debt | 债券 | 债务"]

[[watchlist]]
name = "chip_supply"
title_en = "Chip supply"
title_zh = "芯片供应"
companies = ["XINJI.NW", "QUARTZELL.NW", "JUNLI.NW", "LITHOMAR.NW", "YAOSHA.NW", "TESSARIN.NW"]
"""
WATCHED = {
    "property_credit": {"YUNLAN.NW", "QIYUE.NW", "JIWAN.NW", "JINGLU.NW"},
    "chip_supply": {"XINJI.NW", "QUARTZELL.NW", "JUNLI.NW", "LITHOMAR.NW", "YAOSHA.NW", "TESSARIN.NW"},
}
RULES = """# Fixed limits of the credit team, in addition to the detector.
[[rules]]
name = "mostly negative"
kind = "negative_share"
series = ["topic:credit", "topic:real_estate", "sector:banks"]
over = 0.6
window = "2h"
min_stories = 10

[[rules]]
name = "heavy coverage"
kind = "volume"
series = ["watchlist:property_credit"]
over = 25
window = "1h"
severity = "warning"
"""
_SECTORS = {company.key: company.sector for company in companies()}
_NAMES = {company.key: company for company in companies()}
_SLUGS = {paper.name: paper.slug for paper in PAPERS}


class WrittenArticle(NamedTuple):
    """A scored article and its true sentiment."""

    scored: Scored
    tone: str


def settings_of(data_dir: str) -> Settings:
    """The settings of the newsroom's dashboard."""
    return Settings(data_dir=data_dir, companies=str(companies_path()), webhooks=HOOKS, alert_false_per_week=3.0)


def published(now: datetime) -> Iterator[tuple[str, PublishedArticle]]:
    """(story, article) of two months: quiet days and a few crises. The story is unique over all parts."""
    month_h, earlier_h = (span.total_seconds() / 3600 for span in (MONTH, EARLIER))
    recent = Plan(history_h=month_h, history_articles=int(PER_DAY * month_h / 24))
    earlier = Plan(history_h=earlier_h, history_articles=int(PER_DAY_EARLIER * earlier_h / 24))
    parts = {"month": history(SEED, now, recent), "earlier": history(SEED + 1, now - MONTH, earlier)}
    for number, (sector, company, ago, stories, lasts) in enumerate(CRISES):
        plan = Plan(
            crisis_sector=sector, crisis_after_s=0.0, crisis_lasts_s=lasts.total_seconds(), crisis_stories=stories, copied_share=0.5
        )
        rng = random.Random(f"{SEED} crisis {number}")
        whole = crisis(SEED + number, now - ago, plan)
        kept = {each.story for each in whole if each.companies[0] == company or rng.random() < 0.3}
        parts[f"crisis {number}"] = [each for each in whole if each.story in kept]
    for name, articles in parts.items():
        yield from ((f"{name} {each.story}", each) for each in articles if each.published_at < now - timedelta(seconds=20))


def scored(now: datetime, names: Names) -> list[WrittenArticle]:
    """Every article of `published` with a score, oldest first. names: the champion models by time"""
    first: dict[str, str] = {}
    found: list[WrittenArticle] = []
    for story, each in sorted(published(now), key=lambda item: (item[1].published_at, item[1].url)):
        written = _score(story, each, first, names, now)
        found.append(WrittenArticle(written, each.tone))
    return found


def _score(story: str, each: PublishedArticle, first: dict[str, str], names: Names, now: datetime) -> Scored:
    rng = random.Random(f"{story} {each.source}")
    url = f"https://{_SLUGS[each.source]}.example{each.url}"
    id_ = article_id(url=url, source=each.source, guid=story, title=each.title, published_at=each.published_at)
    first.setdefault(story, id_)
    tone = rng.choice(("negative", "neutral", "positive")) if rng.random() < 0.12 else each.tone  # the model makes mistakes
    p = _probabilities(tone, rng)
    topics = {each.topic: round(rng.uniform(0.72, 0.98), 3)}
    second = SECTOR_TOPICS.get(each.sector, "")
    if second and second not in topics:
        topics[second] = round(rng.uniform(0.55, 0.9), 3)
    whole = "\n".join((each.title, *each.paragraphs))
    surfaces = {key: _surface(key, each, whole) for key in each.companies}
    mentions = tuple(Mention(company=key, surface=surface, sector=_SECTORS[key]) for key, surface in surfaces.items() if surface)
    towards = tuple(
        CompanyScore(company=item.company, sector=item.sector, p_negative=own[0], p_neutral=own[1], p_positive=own[2])
        for number, item in enumerate(mentions)
        for own in [p if number == 0 else _probabilities("neutral", rng)]
    )
    fetched = each.published_at + timedelta(seconds=rng.randint(12, 95))
    article = Article(
        id=id_,
        url=url,
        source=each.source,
        language=each.language,
        title=each.title,
        text="\n\n".join(each.paragraphs),
        published_at=each.published_at,
        fetched_at=fetched,
        mentions=mentions,
    )
    score = Score(
        id=id_,
        source=each.source,
        language=each.language,
        published_at=each.published_at,
        story=first[story],
        p_negative=p[0],
        p_neutral=p[1],
        p_positive=p[2],
        topics=topics,
        companies=towards,
        watchlists=tuple(
            WatchlistScore(name=name, p_negative=p[0], p_neutral=p[1], p_positive=p[2])
            for name, keys in WATCHED.items()
            if keys & {item.company for item in mentions}
        ),
        materiality=_materiality(story, each.companies),
        model=names.at(each.published_at, now),
        scored_at=fetched + timedelta(seconds=rng.randint(1, 3)),
    )
    return Scored(article=article, score=score)


def _materiality(story: str, named: Sequence[str]) -> MaterialityScore:
    """The same for all copies of a story: high in a crisis, lower where no company is named."""
    rng = random.Random(f"materiality {story}")
    relevant = rng.betavariate(8, 1.5) if story.startswith("crisis") else rng.betavariate(4, 1.6) if named else rng.betavariate(1.2, 1.8)
    urgent = relevant * rng.uniform(0.3, 0.9) if story.startswith("crisis") else relevant * rng.uniform(0.0, 0.3)
    background = relevant + (1 - relevant) * rng.uniform(0.4, 0.9)
    return MaterialityScore(p_background=round(background, 4), p_relevant=round(relevant, 4), p_urgent=round(urgent, 4))


def _probabilities(tone: str, rng: random.Random) -> tuple[float, float, float]:
    """(negative, neutral, positive) of a confident prediction."""
    order = {"negative": (0, 1, 2), "neutral": (1, 2, 0), "positive": (2, 1, 0)}[tone]
    main = rng.betavariate(9, 1.6)
    second = (1 - main) * rng.uniform(0.55, 0.9)
    p = [0.0, 0.0, 0.0]
    for place, value in zip(order, (main, second, 1 - main - second), strict=True):
        p[place] = round(value, 4)
    return p[0], p[1], round(1 - p[0] - p[1], 4)


def _surface(key: str, each: PublishedArticle, whole: str) -> str:
    company = _NAMES[key]
    return next((name for name in (company.name(each.language), company.short(each.language)) if name in whole), "")


def fill(store: Store, settings: Settings, now: datetime, password: str, names: Names) -> dict[str, str]:
    """Fill an empty store. Returns the ids for the addresses of screenshots: `alert` and `article`."""
    written = scored(now, names)
    rows = [each.scored for each in written]
    for start in range(0, len(rows), 2_000):
        part = rows[start : start + 2_000]
        store.articles.insert(part)
        store.mentions.insert([row.score for row in part])
        store.articles.insert_keys(part)
    _store_when_scored(store)
    alerts = detect(store, settings, now)
    operate(store, now, names)
    work(store, alerts, now)
    label(store, written, now)
    administrate(store, now, password)
    shown = _shown(alerts)
    copied = next(item.id for item in shown.evidence if store.stories.copies(_story_of(rows, item.id), item.published_at)[1:])
    return {"alert": shown.id, "article": copied}


def _story_of(rows: Sequence[Scored], article: str) -> str:
    return next(row.score.story for row in rows if row.article.id == article)


def _shown(alerts: Sequence[Alert]) -> Alert:
    """The alert for screenshots: the one of the newest crisis with the most evidence."""
    newest = max(alert.detected_at for alert in alerts)
    recent = [alert for alert in alerts if alert.detected_at > newest - timedelta(hours=3) and alert.series.startswith("company:")]
    return max(recent or alerts, key=lambda alert: (len(alert.evidence), alert.id))


def _store_when_scored(store: Store) -> None:
    """Date the writing of each article some seconds after its score, so that throughput and delay look as they do in operation."""
    for table, moment in (("articles", "toUInt32(scored_at) + 1"), ("mentions", "toUInt32(published_at) + 60")):
        store.client.command(f"CREATE TABLE staged ENGINE = Memory AS SELECT * FROM {table}")
        store.client.command(f"TRUNCATE TABLE {table}")
        version = f"(toUInt64({moment}) + cityHash64(id) % 3) * 1000000"
        store.client.command(f"INSERT INTO {table} SELECT * REPLACE ({version} AS version) FROM staged")
        store.client.command("DROP TABLE staged")


def detect(store: Store, settings: Settings, now: datetime) -> list[Alert]:
    """The alerts that the detector raises on the last month, with their explanations, oldest first."""
    rule = SpikeRule.from_settings(settings)
    rule = dataclasses.replace(rule, series=("company:*", "sector:*", "topic:*", "watchlist:*"))
    replay_data, begin, end = load_history(store, rule, now - MONTH, now + timedelta(minutes=1))
    reasons = Explainer(store)
    found = []
    for moment in replay(replay_data, rule, begin, end):
        found += [reasons.explain(alert, moment.decisions.get(alert.id)) for alert in moment.alerts]
    alerts = [msgspec.structs.replace(alert, severity=_severity(alert)) for alert in found]
    store.alerts.insert(alerts)
    return alerts


def _severity(alert: Alert) -> Severity:
    """Mix severities: with so few stories, the detector raises hardly any critical alert."""
    return "critical" if alert.surprise >= 10 else "warning" if alert.surprise >= 7 else "info"


def operate(store: Store, now: datetime, names: Names) -> None:
    """Processes, visits to sources and dead letters."""
    later = now + timedelta(hours=2)  # heartbeats stay valid while screenshots are taken
    common = {"version": "0.1.0", "started_at": now - timedelta(days=4, hours=3)}
    store.heartbeats.put(
        [
            Heartbeat(id="w1", roles=("work",), host="news-1", pid=4121, at=later, model=names.second, **common),  # type: ignore[arg-type]
            Heartbeat(id="w2", roles=("work",), host="news-2", pid=3877, at=later, model=names.second, **common),  # type: ignore[arg-type]
            Heartbeat(id="c1", roles=("crawl",), host="news-1", pid=4119, at=later, waiting=3, **common),  # type: ignore[arg-type]
            Heartbeat(id="d1", roles=("dashboard",), host="news-1", pid=4130, at=later, **common),  # type: ignore[arg-type]
            Heartbeat(id="s1", roles=("schedule",), host="news-2", pid=3880, at=later, **common),  # type: ignore[arg-type]
        ]
    )
    added = PAPERS[3]
    store.feeds.put(
        Feed(
            name=added.name,
            url=f"https://{added.slug}.example/feed.xml",
            body=f'{{"name":"{added.name}","url":"https://{added.slug}.example/feed.xml"}}',
            actor="mei.chen",
            at=now - timedelta(days=17),
        )
    )
    visits = [
        SourceVisit(
            source=paper.name,
            url=f"https://{paper.slug}.example/feed.xml",
            origin="dashboard" if paper is added else "file",
            interval_s=300,
            at=now - timedelta(seconds=20 + 17 * number),
            outcome="ok" if number % 3 else "not_modified",
            entries=30 + number,
            published=number % 4,
            ok_at=now - timedelta(seconds=20 + 17 * number),
            next_at=now + timedelta(minutes=10),
        )
        for number, paper in enumerate(PAPERS)
    ]
    failing = SourceVisit(
        source="Brackwater Herald",
        url="https://brackwater-herald.example/rss",
        interval_s=300,
        at=now - timedelta(minutes=2),
        outcome="failed",
        error="answered 503 Service Unavailable",
        failures=4,
        ok_at=now - timedelta(minutes=26),
        next_at=now + timedelta(minutes=10),
    )
    store.visits.put([*visits, failing])
    reasons = (
        ("decode", "JSON is malformed: trailing characters (byte 512)", 3),
        ("decode", "published_at lies more than two days in the future", 2),
        ("classify", "the text has no words", 1),
    )
    letters = [
        DeadLetter(
            topic="articles",
            partition=place,
            offset=18_400 + 31 * place + number,
            failed_at=now - timedelta(hours=5 * place + number + 1),
            stage=stage,
            reason=reason,
            key=b"",
            value=f'{{"source":"{PAPERS[place].name}"'.encode(),
        )
        for place, (stage, reason, count) in enumerate(reasons)
        for number in range(count)
    ]
    store.dead_letters.insert(letters)


def work(store: Store, alerts: Sequence[Alert], now: datetime) -> None:
    """Deliveries of all alerts, and the team's actions on them."""
    rng = random.Random(SEED)
    people = [name for name, role in TEAM if role != "viewer"]
    deliveries: list[Delivery] = []
    events = []
    verdicts: tuple[EventKind, ...] = ("verdict_right", "verdict_right", "verdict_right", "verdict_right", "verdict_false", "verdict_late")
    shown = _shown(alerts)
    for number, alert in enumerate(alerts):
        sent = alert.detected_at + timedelta(seconds=2)
        deliveries += _deliveries(alert, sent, number)
        actor = rng.choice(people)
        if now - alert.detected_at < timedelta(hours=5):
            if number % 3 == 0 and alert is not shown:
                events.append(event(alert.id, "acknowledged", actor, alert.detected_at + timedelta(minutes=4)))
                events.append(event(alert.id, "assigned", actor, alert.detected_at + timedelta(minutes=5), rng.choice(people)))
            continue
        seen = alert.detected_at + timedelta(minutes=rng.randint(3, 25))
        events.append(event(alert.id, "acknowledged", actor, seen))
        if number % 4 == 0:
            events.append(
                event(alert.id, "note", actor, seen + timedelta(minutes=6), "Confirmed with two sources; the desk is covering it.")
            )
        events.append(event(alert.id, "resolved", actor, seen + timedelta(hours=2, minutes=rng.randint(0, 90))))
        if number % 5:
            events.append(event(alert.id, rng.choice(verdicts), rng.choice(people), seen + timedelta(hours=3)))
    events.append(event(shown.id, "acknowledged", "lin.wei", min(now, shown.detected_at + timedelta(minutes=3))))
    events.append(event(shown.id, "assigned", "lin.wei", min(now, shown.detected_at + timedelta(minutes=3, seconds=20)), "j.alvarez"))
    note = "The company confirms the missed payment. Statement expected at 17:00."
    events.append(event(shown.id, "note", "j.alvarez", min(now, shown.detected_at + timedelta(minutes=9)), note))
    store.alerts.log_deliveries(deliveries)
    store.alert_lifecycle.add(list({each.id: each for each in events if each.at <= now}.values()))


def _deliveries(alert: Alert, sent: datetime, number: int) -> list[Delivery]:
    found = [Delivery(alert_id=alert.id, endpoint="newsroom-chat", attempt=1, sent_at=sent, status=200)]
    later = sent + timedelta(seconds=10)
    if number % 6 == 2:
        error = Delivery(alert_id=alert.id, endpoint="risk-team", attempt=1, sent_at=sent, status=503, error="Service Unavailable")
        found += [error, Delivery(alert_id=alert.id, endpoint="risk-team", attempt=2, sent_at=later, status=200)]
    else:
        found.append(Delivery(alert_id=alert.id, endpoint="risk-team", attempt=1, sent_at=sent, status=200))
    least: Severity = "critical"
    if alert.severity == least:
        refused = {"status": 0, "error": "connection refused"} if number % 7 == 3 else {"status": 202}
        found.append(Delivery(alert_id=alert.id, endpoint="on-call", attempt=1, sent_at=sent, **refused))
    return found


def label(store: Store, written: Sequence[WrittenArticle], now: datetime) -> None:
    """The team's labels of the last weeks, which are the true sentiments."""
    rng = random.Random(SEED)
    recent = [each for each in written if each.scored.score.published_at > now - timedelta(days=20)]
    labels = [
        Label(
            id=each.scored.article.id,
            task="sentiment",
            labels=(each.tone,),
            author=rng.choice(TEAM[:3])[0],
            model=each.scored.score.model,
            labelled_at=min(now, each.scored.score.published_at + timedelta(minutes=rng.randint(10, 300))),
        )
        for each in rng.sample(recent, 420)
    ]
    store.labels.add(labels)


def administrate(store: Store, now: datetime, password: str) -> None:
    """Accounts, tokens, saved views, the rules and watchlists in force, and the audit log."""
    for days, (name, role) in zip((58, 55, 41, 12), TEAM, strict=True):
        at = now - timedelta(days=days)
        people = AccountService(store, lambda at=at: at)  # type: ignore[misc]
        people.add(people.make(name, role, password, must_change=False), actor="admin", address="command line")
    tokens = (("market-data-bridge", ["read"], 40), ("archive-import", ["read", "ingest"], 9))
    for name, scopes, days in tokens:
        made = now - timedelta(days=days)
        _, token = new_token(name, scopes, author="mei.chen", now=made, expires_at=made + timedelta(days=90))
        store.tokens.add([token])
    store.rule_texts.add(RULES, "j.alvarez", now - timedelta(days=11))
    store.watchlist_texts.add(WATCHLISTS, "lin.wei", now - timedelta(days=23))
    store.saved_views.put(
        [
            SavedView(owner="lin.wei", name="Credit desk", address="/?range=24h&kind=watchlist", team=True, at=now - timedelta(days=20)),
            SavedView(
                owner="mei.chen", name="Banks, 7 days", address="/series/sector/banks?range=7d", team=False, at=now - timedelta(days=5)
            ),
        ]
    )
    log = (
        (timedelta(hours=1), "j.alvarez", "login", "j.alvarez", "", ""),
        (timedelta(hours=3), "lin.wei", "silence added", "company:SKERRYVALE.NW", "", "Strike announced last week; covered by the desk"),
        (timedelta(hours=7), "mei.chen", "token made", "archive-import", "", "archive-import: read, ingest"),
        (timedelta(days=1), "t.okafor", "login failed", "t.okafor", "", ""),
        (timedelta(days=2), "mei.chen", "account role", "lin.wei", "viewer", "analyst"),
        (timedelta(days=3), "lin.wei", "view saved", "Credit desk", "", "/?range=24h&kind=watchlist"),
    )
    entries = [
        AuditEntry(at=now - ago, actor=actor, action=what, target=about, before=before, after=after, address="10.2.0.14")
        for ago, actor, what, about, before, after in log
    ]
    store.audit.add(entries)
