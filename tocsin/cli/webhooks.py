"""`tocsin webhooks`: the endpoints of the settings, how they last answered, and a test."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import click
import msgspec

from spine.errors import SettingsError
from spine.settings import Settings
from spine.store import Delivery
from tocsin import wiring
from tocsin.cli.common import ExampleCommand, ExampleGroup, print_json, results, settings_of, table_of


class EndpointState(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is now.

    state: ok, waiting (spared for a moment), failing, gone (410: nothing more is sent to it), paused (by its setting) or unused
    """

    endpoint: str
    state: str
    last_at: datetime | None = None
    status: int = 0
    error: str = ""
    waiting: int = 0


@click.group(cls=ExampleGroup, examples="tocsin webhooks list\ntocsin --config tocsin.toml webhooks test")
def webhooks() -> None:
    """Where alerts are sent: how each endpoint last answered, and a test."""


@webhooks.command("list", cls=ExampleCommand, examples="tocsin webhooks list --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an endpoint.")
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """Each endpoint with its last answer, and how many alerts wait for it to come back."""
    settings = _configured(settings_of(ctx))
    table = table_of("endpoint", "state", "last attempt", "answer", "waiting")
    for found in states(settings, datetime.now(UTC)):
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
    from stream.formats.generic import trial
    from stream.webhooks import Job, Webhooks

    settings = _configured(settings_of(ctx))
    made_door = Webhooks(settings.webhooks, link_base=settings.dashboard_url)
    with contextlib.closing(made_door) as door, contextlib.closing(wiring.make_store(settings)) as store:
        unknown = sorted(set(endpoints) - set(door.labels))
        if unknown:
            raise SettingsError(f"there is no webhook {unknown[0]!r}: {', '.join(door.labels)}")
        now = datetime.now(UTC)
        number = max((delivery.attempt for delivery in store.alerts.deliveries([trial(now).id])), default=0) + 1
        made = door.send([Job(label, trial(now), number) for label in endpoints or door.labels])
        store.alerts.log(made)
    for delivery in made:
        if as_json:
            print_json(delivery)
        else:
            click.echo(f"{delivery.endpoint}: {delivery.error or f'taken ({delivery.status})'}")
    if any(not delivery.delivered for delivery in made):
        ctx.exit(1)


def states(settings: Settings, now: datetime) -> list[EndpointState]:
    """Every endpoint of the settings. Raises SettingsError, StoreError."""
    from stream.answers import GONE, is_waiting
    from stream.courier import next_attempt
    from stream.endpoints import endpoints as parsed

    with contextlib.closing(wiring.make_store(settings)) as store:
        lasts = store.alerts.last_attempts(now - timedelta(days=30))
    found = []
    for endpoint in parsed(settings.webhooks):
        own = sorted((last for last in lasts if last.endpoint == endpoint.label), key=lambda last: last.sent_at)
        last: Delivery | None = own[-1] if own else None
        state = "unused" if last is None else "ok" if last.delivered else "gone" if last.status == GONE else "failing"
        state = "waiting" if last is not None and is_waiting(last) else state
        state = "paused" if endpoint.wanted.paused else state
        found.append(
            EndpointState(
                endpoint=endpoint.label,
                state=state,
                last_at=last.sent_at if last else None,
                status=last.status if last else 0,
                error=last.error if last else "",
                waiting=sum(next_attempt(each) is not None for each in own),
            )
        )
    return found


def _configured(settings: Settings) -> Settings:
    if not settings.webhooks:
        raise SettingsError("no webhooks: [[webhooks]] tables of the settings file name them; deploy/tocsin.example.toml shows one")
    return settings


COMMANDS = (webhooks,)
