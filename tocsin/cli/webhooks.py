"""Command `webhooks`: state of the endpoints, test deliveries and replays."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import click

from actions.audited_actions import AuditedActions
from core.errors import InvalidInput, NotFound, SettingsError
from core.settings import Settings
from storage.store import Store
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, ExampleGroup, echo, person, print_json, results, settings_of, table_of


@click.group(cls=ExampleGroup, examples="tocsin webhooks list\ntocsin --config tocsin.toml webhooks test")
def webhooks() -> None:
    """Show the state of webhook endpoints, send test messages, and replay deliveries."""


@webhooks.command("list", cls=ExampleCommand, examples="tocsin webhooks list --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per endpoint.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List endpoints with their last response and the number of pending alerts."""
    from tocsin.services.delivery_service import states

    settings = _configured(settings_of(ctx))
    with contextlib.closing(wiring.make_store(settings)) as store:
        lasts = store.alerts.last_attempts(datetime.now(UTC) - timedelta(days=30))
    table = table_of("endpoint", "state", "last attempt", "response", "pending")
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


@webhooks.command(cls=ExampleCommand, examples="tocsin webhooks test\ntocsin webhooks test 'risk team' --json")
@click.argument("endpoints", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per endpoint.")
@click.pass_context
def test(ctx: click.Context, endpoints: tuple[str, ...], as_json: bool) -> None:
    """Send a test message to endpoints.

    ENDPOINTS defaults to all. Each endpoint receives the test in its format, even if it is paused or has
    filters. An endpoint that is gone (410) is used again if the test succeeds.
    """
    from stream.delivery.formats.generic import make_test_alert
    from stream.delivery.webhooks import Job, Webhooks

    settings = _configured(settings_of(ctx))
    webhooks_client = Webhooks(settings.webhooks, link_base=settings.dashboard_url)
    with contextlib.closing(webhooks_client) as client, contextlib.closing(wiring.make_store(settings)) as store:
        unknown = sorted(set(endpoints) - set(client.labels))
        if unknown:
            raise NotFound(f"no webhook {unknown[0]!r}: {', '.join(client.labels)}")
        now = datetime.now(UTC)
        number = max((delivery.attempt for delivery in store.alerts.deliveries([make_test_alert(now).id])), default=0) + 1
        made = client.send([Job(label, make_test_alert(now), number) for label in endpoints or client.labels])
        store.alerts.log_deliveries(made)
    for delivery in made:
        if as_json:
            print_json(delivery)
        else:
            echo(f"{delivery.endpoint}: {delivery.error or f'delivered ({delivery.status})'}")
    if any(not delivery.delivered for delivery in made):
        ctx.exit(1)


@webhooks.command(
    cls=ExampleCommand, examples="tocsin webhooks replay 'risk team' --failed\ntocsin webhooks replay 'risk team' 3f9c21 --who 王芳"
)
@click.argument("endpoint")
@click.argument("ids", nargs=-1, metavar="[ALERT]...")
@click.option("--failed", is_flag=True, help="Replay all failed deliveries of the last 31 days.")
@click.option("--who", "actor", metavar="NAME", help="Name of the acting user, for the audit log.  [default: your login name]")
@click.pass_context
def replay(ctx: click.Context, endpoint: str, ids: tuple[str, ...], failed: bool, actor: str | None) -> None:
    """Send alerts to ENDPOINT again, whether they were delivered or not. A running worker sends them within seconds.

    The embedded store can only be used while `tocsin up` is stopped; the alerts are then sent when it starts. The deliveries page of
    the dashboard works at any time.
    """
    from tocsin.services.alert_service import find
    from tocsin.services.delivery_service import StoredDeliveryService

    if failed == bool(ids):
        raise InvalidInput("specify alert ids or --failed")
    now, name = datetime.now(UTC), person(actor)
    settings = _configured(settings_of(ctx))
    with contextlib.closing(wiring.make_store(settings)) as store:
        service, actions = StoredDeliveryService(settings, store, lambda: now), AuditedActions(store, lambda: now, lambda: name)
        if failed:
            requested = service.replay_failed(endpoint, actions)
        else:
            requested = service.replay(endpoint, [_subject(store, alert.id, endpoint) for alert in find(store, ids)], actions)
    echo(f"{endpoint}: {requested} will be sent again")


def _subject(store: Store, alert_id: str, endpoint: str) -> str:
    """Delivery id of an alert at an endpoint: the last group it was sent in, if any, else its own."""
    return next((each.alert_id for each in reversed(store.deliveries_of(alert_id)) if each.endpoint == endpoint), alert_id)


def _configured(settings: Settings) -> Settings:
    if not settings.webhooks:
        raise SettingsError("no webhooks: add [[webhooks]] tables to the settings file; see deploy/tocsin.example.toml")
    return settings


COMMANDS = (webhooks,)
