"""The command group `tocsin`, and the conversion of errors to messages and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

import tocsin
from core.errors import TocsinError
from core.files import use_private_umask
from core.log import mask
from tocsin.cli import (
    accounts,
    admin,
    alerts,
    archives,
    bench,
    classify,
    dead_letters,
    labels,
    models,
    rules,
    run,
    sources,
    topics,
    training,
    watchlists,
    webhooks,
)
from tocsin.cli.common import echo

DEBUG_VARIABLE = "TOCSIN_DEBUG"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(tocsin.__version__, prog_name="tocsin")
@click.option(
    "--config", type=click.Path(dir_okay=False), help="TOML settings file; default: TOCSIN_CONFIG. `tocsin settings` lists all settings."
)
def group(config: str | None) -> None:
    """Tocsin monitors financial news in Chinese and English. It classifies every article by topic and sentiment, and raises an
    alert when there is significantly more negative news than usual.

    Start with `tocsin demo`, then run `tocsin up --sources sources.toml` with your own feeds.
    """


for module in (
    run,
    archives,
    admin,
    accounts,
    alerts,
    webhooks,
    sources,
    watchlists,
    rules,
    dead_letters,
    classify,
    training,
    topics,
    labels,
    models,
    bench,
):
    for command in module.COMMANDS:
        group.add_command(command)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: without the program name; None for those of the process.

    Returns:
        The exit code: 0 success, 1 failure, 2 invalid settings or arguments, 75 temporary failure, 130 interrupted.
    """
    use_private_umask()
    try:
        status = group.main(args=list(arguments) if arguments is not None else None, prog_name="tocsin", standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.ClickException as error:
        error.show(sys.stderr)
        return error.exit_code
    except TocsinError as error:
        return _report_error(str(error), error.exit_code, error)
    except BrokenPipeError:
        return 1
    except Exception as error:
        return _report_error(f"unexpected {type(error).__name__}: {error} (set {DEBUG_VARIABLE}=1 for a traceback)", 1, error)
    return status if isinstance(status, int) else 0


def _report_error(message: str, status: int, error: BaseException) -> int:
    if os.environ.get(DEBUG_VARIABLE):
        raise error
    echo(f"tocsin: {mask(message)}", err=True)
    return status
