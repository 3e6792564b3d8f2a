"""Settings to objects: the one place that knows which adapter stands behind each port, embedded or not."""

from __future__ import annotations

import contextlib
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from core import log
from core.errors import SettingsError
from core.kafka_topics import TopicNames, topic_names
from core.records import Genre, Language
from core.settings import Settings, build
from storage.store import Store, open_store

if TYPE_CHECKING:
    from ingest.companies.gazetteer import Gazetteer
    from models.inference.classifier import Classifier
    from models.registry.versions import Versions
    from stream.detection.rules import Rules
    from stream.watchlists.watchlists import Watchlist

CONFIG_VARIABLE = "TOCSIN_CONFIG"


def read_settings(config: str | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the TOML file `config` (or the one TOCSIN_CONFIG names) and the environment. Raises SettingsError."""
    environment = os.environ if environment is None else environment
    path = config or environment.get(CONFIG_VARIABLE, "")
    if not path:
        return build({}, environment)
    try:
        with Path(path).expanduser().open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"settings file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"settings file {path} is not valid TOML: {error}") from error
    return build(table, environment, where=path)


def data_dir(settings: Settings) -> Path:
    """The data folder, made if it is not there. Raises SettingsError."""
    path = Path(settings.data_dir).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"data_dir {path} cannot be made: {error.strerror}; set data_dir to a folder you may write to") from error
    if not os.access(path, os.W_OK):
        raise SettingsError(f"data_dir {path} cannot be written to; set data_dir to a folder you may write to")
    return path


def names(settings: Settings) -> TopicNames:
    """The Kafka topics of this installation."""
    return topic_names(settings.topic_prefix)


def make_store(settings: Settings, *, migrate: bool = True) -> Store:
    """The store, brought up to date unless told not to. Raises SettingsError, StoreError."""
    store = open_store(settings.store, data_dir(settings))
    if migrate:
        store.migrate()
    return store


def make_classifier(settings: Settings) -> Classifier:
    """The classifier that the settings name, as it is now. Raises ModelError, SettingsError."""
    if settings.model == "keyword":
        from models.inference.keyword import KeywordClassifier

        return KeywordClassifier()
    if settings.model == "champion":
        from models.inference.champion import load_champion

        return load_champion(make_versions(settings), _loader(settings))[1]
    path = None if settings.model == "shipped" else Path(settings.model).expanduser()
    if path is not None and not path.is_dir():
        raise SettingsError(
            f'model {settings.model!r}: there is no such folder; "champion" is the promoted model, "shipped" the one that comes with Tocsin'
        )
    return _loader(settings)(path)


@contextlib.contextmanager
def following_classifier(settings: Settings) -> Iterator[Classifier]:
    """The classifier that the settings name; the champion is followed when another is promoted. Raises ModelError, SettingsError."""
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
    """Where the analysts' own topics lie; the folder need not be there."""
    return Path(settings.data_dir).expanduser() / "models" / "topics"


def know_names(settings: Settings) -> None:
    """Let this process name the analysts' own topics and watchlists to people."""
    from core import series, taxonomy
    from models.inference.topic_files import names_of
    from stream.watchlists.watchlists import titles_of

    taxonomy.know_own_topics(names_of(topics_dir(settings)))
    series.know_watchlists(titles_of(Path(settings.watchlists).expanduser()) if settings.watchlists else {})


def _loader(settings: Settings) -> Callable[[Path | None], Classifier]:
    """Loads a model, with the analysts' own topics beside its own: a new champion learns them too."""

    def load(folder: Path | None) -> Classifier:
        from models.inference.loader import load_classifier

        classifier = load_classifier(folder, threads=settings.model_threads or None, max_tokens=settings.max_tokens)
        if not topics_dir(settings).is_dir():
            return classifier
        from models.inference.own_topics import with_own_topics

        return with_own_topics(classifier, topics_dir(settings))

    return load


def make_gazetteer(settings: Settings) -> Gazetteer:
    """The companies to look for. Raises SettingsError."""
    from ingest.companies.gazetteer import load_companies

    return load_companies(Path(settings.companies).expanduser() if settings.companies else None)


def make_watchlists(settings: Settings, path: Path | None = None, *, text: str | None = None) -> tuple[Watchlist, ...]:
    """The watchlists of `text`, or of `path`, else those that the settings name, perhaps none.

    Raises SettingsError with a line for each mistake.
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


def watchlists_in_force(settings: Settings, store: Store) -> tuple[Watchlist, ...]:
    """Those that were written on the dashboard last and can be used, else those that the settings name. Raises SettingsError, StoreError.

    A company that they name may be gone from the list meanwhile: that must not keep the worker from starting.
    """
    written = store.watchlist_texts.latest()
    for each in written:
        try:
            return make_watchlists(settings, text=each.text)
        except SettingsError as error:
            log.get_logger(__name__).warning("watchlists cannot be used; those before count", by=each.who, error=str(error))
    return () if written else make_watchlists(settings)


def rules_in_force(settings: Settings, store: Store, watchlists: Sequence[Watchlist] | None = None) -> Rules:
    """Likewise the rules. watchlists: those in force, where they are known already. Raises SettingsError, StoreError."""
    watchlists = watchlists_in_force(settings, store) if watchlists is None else watchlists
    written = store.rules.latest()
    for each in written:
        try:
            return make_rules(settings, text=each.text, watchlists=watchlists)
        except SettingsError as error:
            log.get_logger(__name__).warning("rules cannot be used; those before count", by=each.who, error=str(error))
    return make_rules(settings, text="") if written else make_rules(settings, watchlists=watchlists)


def know_watchlists(watchlists: Sequence[Watchlist]) -> None:
    """Let this process name these watchlists to people, and no others."""
    from core import series

    series.know_watchlists({each.name: (each.title_en, each.title_zh) for each in watchlists})


def know_companies(settings: Settings) -> None:
    """Let this process show companies by their names. Raises SettingsError."""
    from core import series

    companies = make_gazetteer(settings).companies.values()
    series.know_companies({each.key: (each.name_en, each.name_zh) for each in companies})


def make_rules(
    settings: Settings, path: Path | None = None, *, text: str | None = None, watchlists: Sequence[Watchlist] | None = None
) -> Rules:
    """The detector as the settings have it, with the rules of `text`, or of `path`, else of the file that they name, perhaps none.

    watchlists: those that rules may be about; None: those of the settings
    Raises SettingsError with a line for each mistake.
    """
    from stream.detection.rules import Rules, load_rules, parse_rules
    from stream.detection.spike_rule import SpikeRule

    detector = SpikeRule.from_settings(settings)
    if text is None and path is None and not settings.alert_rules:
        return Rules(detector)
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
