"""The catalogue of public finance sources: complete, unique, and addable as it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from core.errors import NotFound
from ingest.crawl.catalogue import CatalogueSource, catalogue, catalogue_source
from ingest.crawl.sources import source_of
from ingest.text.clean_text import language
from ingest.text.urls import canonical
from tocsin.cli.main import main

ROOT = Path(__file__).resolve().parents[4]


def test_it_has_at_least_60_sources_in_both_languages_and_of_each_category():
    found = catalogue()
    assert len(found) >= 60
    assert f"{len(found)} public finance sources" in (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    counts = Counter(each.language for each in found)
    assert min(counts["zh"], counts["en"]) >= 30
    by_language = {(each.language, each.category) for each in found}
    for category in ("statistics", "central_bank", "exchange", "regulator", "ministry", "agency"):
        assert {("zh", category), ("en", category)} <= by_language


def test_keys_titles_and_addresses_are_unique():
    found = catalogue()
    for values in ([each.key for each in found], [each.title for each in found], [canonical(each.url) for each in found]):
        assert len(set(values)) == len(found)
        assert all(values)


@pytest.mark.parametrize("source", catalogue(), ids=lambda each: each.key)
def test_each_source_is_complete_and_a_valid_source(source: CatalogueSource):
    assert len(source.terms) > 20
    assert ZoneInfo(source.timezone)
    assert language(source.title) == source.language
    if source.is_feed:
        source_of({"name": source.title, "url": source.url, "language": source.language, "timezone": source.timezone}, source.key)


def test_an_unknown_key_names_similar_ones():
    with pytest.raises(NotFound, match="did you mean us_fed_press"):
        catalogue_source("us_fed_pres")
    with pytest.raises(NotFound, match="lists all keys"):
        catalogue_source("毫无关系")


def test_the_command_lists_every_field_and_states_that_addresses_were_not_tried(capsys: pytest.CaptureFixture[str]):
    assert main(["sources", "catalogue"]) == 0
    output = capsys.readouterr()
    assert "could not be tried" in output.err
    for each in catalogue():
        for value in (each.key, each.title, each.url, each.terms):
            assert value in output.out


@pytest.mark.parametrize("wanted", ["zh", "en"])
def test_the_command_lists_one_language_as_json(capsys: pytest.CaptureFixture[str], wanted: str):
    assert main(["sources", "catalogue", "--language", wanted, "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["key"] for row in rows] == [each.key for each in catalogue() if each.language == wanted]
    assert {(row["language"], row["enabled"], row["tried"]) for row in rows} == {(wanted, False, False)}


def test_a_page_without_a_feed_is_not_added(capsys: pytest.CaptureFixture[str]):
    assert main(["sources", "catalogue", "--add", "us_fed_press", "--add", "cn_pboc"]) == 2
    assert "cn_pboc" in (error := capsys.readouterr().err)
    assert "nothing was added" in error
