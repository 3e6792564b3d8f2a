"""Construct objects from settings: store, classifier, gazetteer, watchlists and rules."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from core import log
from core.errors import SettingsError
from core.files import locked_or_raise, make_private
from core.kafka_topics import TopicNames, topic_names
from core.records import Genre, Language
from core.settings import Settings, build
from core.toml_files import parse_toml, toml_text
from storage.store import Store, open_store

if TYPE_CHECKING:
    from ingest.companies.gazetteer import Gazetteer
    from models.inference.classifier import Classifier
    from models.registry.versions import Versions
    from stream.detection.rules import AlertRules
    from stream.watchlists.watchlists import Watchlist

CONFIG_VARIABLE = "TOCSIN_CONFIG"
_log = log.get_logger(__name__)


def read_settings(config: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read settings from the TOML file `config` (default: TOCSIN_CONFIG) and the environment. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    path = config or environment.get(CONFIG_VARIABLE, "")
    if not path:
        return build({}, environment)
    try:
        text = toml_text(Path(path).expanduser().read_bytes(), f"settings file {path}")
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    return build(parse_toml(text, f"settings file {path}"), environment, where=path)


def data_dir_path(settings: Settings) -> Path:
    """Path of the data folder, which need not exist. Raises SettingsError if it is a folder that others use too."""
    path = Path(settings.data_dir).expanduser()
    shared = path.is_dir() and path.stat().st_mode & stat.S_ISVTX
    if shared or path.resolve() in (Path("/"), Path.home().resolve()):  # it will be closed to other users
        raise SettingsError(f"data_dir {path} is not a folder of its own; set data_dir to one, such as {path / 'tocsin'}")
    return path


def data_dir(settings: Settings) -> Path:
    """The data folder, created if missing, with access for its owner only. Raises SettingsError."""
    path = data_dir_path(settings)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data_dir {path} cannot be created: {error.strerror}; set data_dir to a writable folder") from error
    if not os.access(path, os.W_OK):
        raise SettingsError(f"data_dir {path} is not writable; set data_dir to a writable folder")
    try:
        if make_private(path):
            _log.warning("data_dir_made_private", folder=str(path), reason="other users of this machine could read it")
    except OSError as error:  # a volume of a container may belong to root; `tocsin doctor` reports it
        _log.debug("data_dir_not_private", folder=str(path), reason=str(error))
    return path


def names(settings: Settings) -> TopicNames:
    """The Kafka topics of this installation."""
    return topic_names(settings.topic_prefix)


def make_store(settings: Settings, *, migrate: bool = True) -> Store:
    """Open the store and, with `migrate`, apply missing migrations. Raises SettingsError, StoreError."""
    store = open_store(settings.store, data_dir(settings), settings.alert_min_materiality)
    if migrate:
        store.migrate()
    return store


def make_classifier(settings: Settings) -> Classifier:
    """Load the configured classifier. Raises ModelError, SettingsError."""
    if settings.model == "keyword":
        from models.inference.keyword import KeywordClassifier

        return KeywordClassifier()
    if settings.model == "champion":
        from models.inference.champion import load_champion

        return load_champion(make_versions(settings), _loader(settings))[1]
    path = None if settings.model == "shipped" else Path(settings.model).expanduser()
    if path is not None and not path.is_dir():
        raise SettingsError(
            f'model {settings.model!r}: no such folder; "champion" is the promoted model, "shipped" the one included in Tocsin'
        )
    return _loader(settings)(path)


@contextlib.contextmanager
def following_classifier(settings: Settings) -> Iterator[Classifier]:
    """Load the configured classifier; a newly promoted champion replaces it while inside. Raises ModelError, SettingsError."""
    if settings.model != "champion":
        yield make_classifier(settings)
        return
    from models.inference.champion import ChampionClassifier

    with contextlib.closing(ChampionClassifier(make_versions(settings), _loader(settings))) as classifier:
        yield classifier


def make_versions(settings: Settings) -> Versions:
    """The model versions of this installation. Raises SettingsError."""
    from models.registry.versions import Versions

    return Versions(data_dir(settings))


def topics_dir(settings: Settings) -> Path:
    """Folder of user-defined topics; it may not exist."""
    return Path(settings.data_dir).expanduser() / "models" / "topics"


def register_names(settings: Settings) -> None:
    """Register the display names of user-defined topics and watchlists in this process."""
    from core import series, taxonomy
    from models.inference.topic_files import names_of
    from stream.watchlists.watchlists import titles_of

    taxonomy.register_topic_names(names_of(topics_dir(settings)))
    series.register_watchlist_names(titles_of(Path(settings.watchlists).expanduser()) if settings.watchlists else {})


def _loader(settings: Settings) -> Callable[[Path | None], Classifier]:
    """A function that loads a model and adds the user-defined topics to it."""

    def load(folder: Path | None) -> Classifier:
        from models.inference.loader import load_classifier

        classifier = load_classifier(folder, threads=settings.model_threads or None, max_tokens=settings.max_tokens)
        if not topics_dir(settings).is_dir():
            return classifier
        from models.inference.own_topics import with_own_topics

        return with_own_topics(classifier, topics_dir(settings))

    return load


def make_gazetteer(settings: Settings) -> Gazetteer:
    """The gazetteer of the settings. Raises SettingsError."""
    from ingest.companies.company_files import load_companies

    return load_companies(Path(settings.companies).expanduser() if settings.companies else None)


def make_watchlists(settings: Settings, path: Path | None = None, *, text: str | None = None) -> tuple[Watchlist, ...]:
    """Parse the watchlists of `text` or `path`; by default those of the settings, if any.

    Raises SettingsError with a line for each error.
    """
    if text is None and path is None and not settings.watchlists:
        return ()
    from stream.watchlists.watchlists import load_watchlists, parse_watchlists

    topics = _topic_keys(settings)
    gazetteer = make_gazetteer(settings)

    def link(name: str) -> str:
        company = gazetteer.link(name)
        return company.key if company else ""

    if text is not None:
        return parse_watchlists(text, "watchlists", gazetteer.companies.keys(), topics, link)
    return load_watchlists(path or Path(settings.watchlists).expanduser(), gazetteer.companies.keys(), topics, link)


def active_watchlists(settings: Settings, store: Store) -> tuple[Watchlist, ...]:
    """The latest valid watchlists saved on the dashboard, else those of the settings. Raises SettingsError, StoreError.

    A saved text may name a company that was removed since; that must not prevent the worker from starting.
    """
    written = store.watchlist_texts.latest()
    for each in written:
        try:
            return make_watchlists(settings, text=each.text)
        except SettingsError as error:
            _log.warning("watchlists_invalid_using_previous", by=each.actor, error=str(error))
    return () if written else make_watchlists(settings)


def active_rules(settings: Settings, store: Store, watchlists: Sequence[Watchlist] | None = None) -> AlertRules:
    """The latest valid rules saved on the dashboard, else those of the settings.

    Args:
        settings: of this installation.
        store: where rules are saved.
        watchlists: the active watchlists, if known.

    Raises:
        SettingsError: the rules of the settings are invalid.
        StoreError: the store is unavailable.
    """
    watchlists = active_watchlists(settings, store) if watchlists is None else watchlists
    written = store.rule_texts.latest()
    for each in written:
        try:
            return make_rules(settings, text=each.text, watchlists=watchlists)
        except SettingsError as error:
            _log.warning("rules_invalid_using_previous", by=each.actor, error=str(error))
    return make_rules(settings, text="") if written else make_rules(settings, watchlists=watchlists)


def register_watchlist_names(watchlists: Sequence[Watchlist]) -> None:
    """Register the display names of these watchlists in this process, replacing earlier ones."""
    from core import series

    series.register_watchlist_names({each.name: (each.title_en, each.title_zh) for each in watchlists})


def register_company_names(settings: Settings) -> None:
    """Let this process show companies by their names. Raises SettingsError."""
    from core import series

    companies = make_gazetteer(settings).companies.values()
    series.register_company_names({each.key: (each.name_en, each.name_zh) for each in companies})


def make_rules(
    settings: Settings, path: Path | None = None, *, text: str | None = None, watchlists: Sequence[Watchlist] | None = None
) -> AlertRules:
    """The detector of the settings with the rules of `text` or `path`; by default those of the settings, if any.

    watchlists: which rules may refer to; None for those of the settings
    Raises SettingsError with a line for each error.
    """
    from stream.detection.rules import AlertRules, load_rules, parse_rules
    from stream.detection.spike_rule import SpikeRule

    detector = SpikeRule.from_settings(settings)
    if text is None and path is None and not settings.alert_rules:
        return AlertRules(detector)
    companies = make_gazetteer(settings).companies
    keys = {
        "topic": _topic_keys(settings),
        "company": list(companies),
        "sector": sorted({company.sector for company in companies.values() if company.sector}),
        "watchlist": [each.name for each in (make_watchlists(settings) if watchlists is None else watchlists)],
        "language": get_args(Language),
        "genre": get_args(Genre),
        "market": ["all"],
    }
    if text is not None:
        return parse_rules(text, "rules", detector, keys)
    return load_rules(path or Path(settings.alert_rules).expanduser(), detector, keys)


def _topic_keys(settings: Settings) -> list[str]:
    from core.taxonomy import TOPIC_KEYS
    from models.inference.topic_files import names_of

    return [*TOPIC_KEYS, *(topic.key for topic in names_of(topics_dir(settings)))]


@contextlib.contextmanager
def sole_owner(folder: Path) -> Iterator[None]:
    """Hold the lock of the data folder while inside. Raises SettingsError if another process holds it."""
    busy = SettingsError(f"another tocsin process uses the data folder {folder}; stop it, or change data_dir")
    with locked_or_raise(folder / "lock", busy):
        yield
