"""`tocsin webhooks`: the endpoints of the settings, how they last answered, a test, and what is sent once more."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import click

from actions.audited_actions import AuditedActions
from core.errors import InvalidInput, NotFound, SettingsError
from core.settings import Settings
from storage.store import Store
from tocsin.cli.common import ExampleCommand, ExampleGroup, person, print_json, results, settings_of, table_of
from tocsin.runtime import wiring


@click.group(cls=ExampleGroup, examples="tocsin webhooks list\ntocsin --config tocsin.toml webhooks test")
def webhooks() -> None:
    """Where alerts are sent: how each endpoint last answered, a test, and what is sent once more."""


@webhooks.command("list", cls=ExampleCommand, examples="tocsin webhooks list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an endpoint.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Each endpoint with its last answer, and how many alerts wait for it to come back."""
    from tocsin.services.delivery_service import states

    settings = _configured(settings_of(ctx))
    with contextlib.closing(wiring.make_store(settings)) as store:
        lasts = store.alerts.last_attempts(datetime.now(UTC) - timedelta(days=30))
    table = table_of("endpoint", "state", "last attempt", "answer", "waiting")
    for found in states(settings, lasts):
        if as_json:
            print_json(found)
        else:
            last = f"{found.last_at:%Y-%m-%d %H:%M:%S} UTC" if found.last_at else "-"
            table.add_row(
                found.endpoint, found.state, last, found.error or (str(found.status) if found.status else "-"), str(found.waiting)
            )
    if not as_json:
        results.print(table)


@webhooks.command(cls=ExampleCommand, examples="tocsin webhooks test\ntocsin webhooks test 'risk desk' --json")
@click.argument("endpoints", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object an endpoint.")
@click.pass_context
def test(ctx: click.Context, endpoints: tuple[str, ...], as_json: bool) -> None:
    """Send a test to ENDPOINTS (all when none is named), each in its format, whatever its filters and though it is paused.

    One that is gone is used again when it takes it.
    """
    from stream.delivery.formats.generic import make_test_alert
    from stream.delivery.webhooks import Job, Webhooks

    settings = _configured(settings_of(ctx))
    made_door = Webhooks(settings.webhooks, link_base=settings.dashboard_url)
    with contextlib.closing(made_door) as door, contextlib.closing(wiring.make_store(settings)) as store:
        unknown = sorted(set(endpoints) - set(door.labels))
        if unknown:
            raise NotFound(f"there is no webhook {unknown[0]!r}: {', '.join(door.labels)}")
        now = datetime.now(UTC)
        number = max((delivery.attempt for delivery in store.alerts.deliveries([make_test_alert(now).id])), default=0) + 1
        made = door.send([Job(label, make_test_alert(now), number) for label in endpoints or door.labels])
        store.alerts.log(made)
    for delivery in made:
        if as_json:
            print_json(delivery)
        else:
            click.echo(f"{delivery.endpoint}: {delivery.error or f'taken ({delivery.status})'}")
    if any(not delivery.delivered for delivery in made):
        ctx.exit(1)


@webhooks.command(
    cls=ExampleCommand, examples="tocsin webhooks replay 'risk desk' --failed\ntocsin webhooks replay 'risk desk' 3f9c21 --who 王芳"
)
@click.argument("endpoint")
@click.argument("ids", nargs=-1, metavar="[ALERT]...")
@click.option("--failed", is_flag=True, help="All that failed there in the last 31 days.")
@click.option("--who", "actor", metavar="NAME", help="Who wants it, for the audit log. Default: your name on this computer.")
@click.pass_context
def replay(ctx: click.Context, endpoint: str, ids: tuple[str, ...], failed: bool, actor: str | None) -> None:
    """Have alerts sent to ENDPOINT once more, whether it took them or not. The worker does it, within seconds while it runs.

    With the embedded store: while `tocsin up` is stopped; they are sent when it starts, and the dashboard's page of deliveries does
    the same at any time.
    """
    from tocsin.services.alert_service import find
    from tocsin.services.delivery_service import StoredDeliveryService

    if failed == bool(ids):
        raise InvalidInput("give the ids of alerts, or --failed")
    now, name = datetime.now(UTC), person(actor)
    settings = _configured(settings_of(ctx))
    with contextlib.closing(wiring.make_store(settings)) as store:
        desk, actions = StoredDeliveryService(settings, store, lambda: now), AuditedActions(store, lambda: now, lambda: name)
        if failed:
            asked = desk.replay_failed(endpoint, actions)
        else:
            asked = desk.replay(endpoint, [_subject(store, alert.id, endpoint) for alert in find(store, ids)], actions)
    click.echo(f"{endpoint}: {asked} will be sent once more")


def _subject(store: Store, alert_id: str, endpoint: str) -> str:
    """What the log of an endpoint calls an alert: the last group that it went out in, where it did."""
    return next((each.alert_id for each in reversed(store.deliveries_of(alert_id)) if each.endpoint == endpoint), alert_id)


def _configured(settings: Settings) -> Settings:
    if not settings.webhooks:
        raise SettingsError("no webhooks: [[webhooks]] tables of the settings file name them; deploy/tocsin.example.toml shows one")
    return settings


COMMANDS = (webhooks,)
