"""Settings to objects: the one place that knows which adapter stands behind each port, embedded or not."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from spine.errors import SettingsError
from spine.settings import Settings, build
from spine.store import Store, open_store
from spine.topics import TopicNames, topic_names

if TYPE_CHECKING:
    from ingest.entities import Gazetteer
    from models.classifier import Classifier
    from stream.pipeline import Pipeline

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
    """The classifier that the settings name. Raises ModelError, SettingsError."""
    if settings.model == "keyword":
        from models.keyword import KeywordClassifier

        return KeywordClassifier()
    from models.registry import load_classifier

    path = None if settings.model == "shipped" else Path(settings.model).expanduser()
    if path is not None and not path.is_dir():
        raise SettingsError(f'model {settings.model!r}: there is no such folder; "shipped" is the model that comes with Tocsin')
    return load_classifier(path, threads=settings.model_threads or None, max_tokens=settings.max_tokens)


def make_gazetteer(settings: Settings) -> Gazetteer:
    """The companies to look for. Raises SettingsError."""
    from ingest.entities import load_companies

    return load_companies(Path(settings.companies).expanduser() if settings.companies else None)


def make_pipeline(settings: Settings, store: Store, classifier: Classifier) -> Pipeline:
    """The worker's three steps over these parts."""
    from stream.pipeline import Pipeline

    return Pipeline.from_settings(settings, store, classifier)
