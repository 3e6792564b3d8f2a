"""Who may revise an article, and stories by link."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Article, article_id, domain_owner, token_owner
from stream.worker.batches import RawMessage
from stream.worker.ownership import join_links, link_of, linked_article, separate_owners

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
LINK = "https://news.example/1"
DAYS = timedelta(days=3)


def written(source: str, *, minute: int = 0, url: str = LINK, name: str = "", **more: Any) -> Article:
    moment = NOON + timedelta(minutes=minute)
    own = article_id(url="" if name else url, source=source, guid=name, title="", published_at=moment, owner=more.get("owner", ""))
    return Article(
        **{"id": own, "url": url, "source": source, "language": "en", "title": source, "published_at": moment, "fetched_at": moment, **more}
    )


def raw(article: Article) -> tuple[RawMessage, Article]:
    return RawMessage("articles", 0, 0, article.id.encode(), b""), article


def test_a_source_a_domain_and_a_token_have_articles_of_their_own():
    owners = ["", domain_owner("news.example"), token_owner("desk", "wire"), token_owner("other", "wire"), token_owner("desk", "press")]
    made = [written("wire", owner=owner) for owner in owners] + [written("press")]
    assert len({each.id for each in made}) == len(made)
    assert len({each.revised_by for each in made}) == len(made)
    same = [written(source, owner=domain_owner("news.example")).id for source in ("wire", "press")]
    assert same[0] == same[1], "sources on the link's domain share its article"


def test_a_record_under_the_id_of_another_owner_is_an_article_of_its_own():
    first, forged = written("wire"), written("press", id=written("wire").id)
    kept = separate_owners([raw(first), raw(forged), raw(first)], {})
    assert [each.id == first.id for _, each in kept.articles] == [True, False, True]
    assert [each.source for each in kept.copies] == ["press"]
    again = separate_owners([raw(forged)], {first.id: first.revised_by})
    assert again.copies == kept.copies, "always under the same id"
    assert separate_owners([raw(first)], {first.id: first.revised_by}).copies == []


@pytest.mark.parametrize("url", ["", "https://news.example/", "https://news.example/#top", "ftp://news.example/1"])
def test_what_is_no_link_of_an_article_joins_nothing(url):
    assert link_of(written("wire", url=url)) == 0


def joined(*articles: Article, stored: tuple[Article, ...] = (), stories: Mapping[str, str] | None = None) -> list[str]:
    """The stories of articles, as the sources of the articles that began them."""
    every = {each.id: each for each in (*articles, *stored)}
    own = {each.id: each.id for each in articles} | dict(stories or {})
    found = join_links(articles, own, [linked_article(each, each.id) for each in stored], DAYS)
    return [every[found[each.id]].source for each in articles]


def test_other_sources_with_one_link_are_one_story_in_any_order():
    wire, press, blog = written("wire"), written("press", minute=5), written("blog", minute=9, url=LINK.replace("https", "http") + "#top")
    assert joined(blog, wire, press) == ["wire", "wire", "wire"]
    assert joined(press, blog, stored=(wire,)) == ["wire", "wire"]
    assert joined(written("wire", minute=20), stored=(press,)) == ["press"], "what is stored stays"


def test_a_copy_days_later_and_another_link_are_stories_of_their_own():
    wire = written("wire")
    assert joined(written("late", minute=5 * 1_440), stored=(wire,)) == ["late"]
    assert joined(written("other", url=LINK + "2"), stored=(wire,)) == ["other"]


def test_a_link_that_one_owner_uses_for_several_articles_joins_nothing():
    live = [written("wire", name=f"k{n}", minute=n) for n in range(3)]
    assert joined(*live) == ["wire"] * 3
    assert len(set(join_links(live, {each.id: each.id for each in live}, [], DAYS).values())) == 3
    assert joined(written("press", minute=9), stored=tuple(live)) == ["press"]


def test_an_article_of_the_links_own_domain_stays_with_the_copies_of_its_text():
    """A feed that lists links before their publisher cannot take copies out of their story."""
    other = written("agency", url="https://agency.example/7")
    wire = written("wire", trust="domain", minute=1)
    thief = written("thief", minute=-5)
    assert joined(wire, stored=(thief, other), stories={wire.id: other.id}) == ["agency"]
    assert joined(wire, stored=(thief,)) == ["thief"]


def test_only_what_began_a_story_stands_for_its_link():
    """A feed cannot gather many links in one story, by listing them with one text, before their publisher has them."""
    first = written("thief", url=LINK + "a")
    second = linked_article(written("thief", url=LINK + "b", minute=1), first.id)
    wire = written("wire", url=LINK + "b", minute=2)
    assert join_links([wire], {wire.id: wire.id}, [linked_article(first, first.id), second], DAYS) == {wire.id: wire.id}


def test_nothing_joins_an_article_without_a_trustworthy_time():
    """Its story would not be counted either."""
    assert joined(written("wire", minute=5), stored=(written("press", flags=("date",)),)) == ["wire"]
    assert joined(written("wire", flags=("date",), minute=5), stored=(written("press"),)) == ["press"]


def test_copies_of_a_text_come_along_when_its_story_joins_another():
    wire, press, copy = written("wire"), written("press", minute=1), written("copy", minute=2, url=LINK + "2")
    assert joined(press, copy, stored=(wire,), stories={copy.id: press.id}) == ["wire", "wire"]


sources = st.sampled_from(["a", "b", "c", "d"])
given_articles = st.lists(
    st.builds(
        lambda source, n, minute, domain: written(source, url=f"{LINK}{n}", minute=minute, trust="domain" if domain else "feed"),
        sources,
        st.integers(0, 2),
        st.integers(0, 5_000),
        st.booleans(),
    ),
    max_size=8,
    unique_by=lambda each: each.id,
)


@given(given_articles, given_articles, st.randoms(use_true_random=False))
def test_the_result_does_not_depend_on_the_order_and_is_the_same_when_repeated(stored, new, rng):
    rows = [linked_article(each, each.id) for each in stored]
    new = [each for each in new if each.id not in {row.id for row in rows}]
    own = {each.id: each.id for each in new}
    once = join_links(new, own, rows, DAYS)
    assert once.keys() == own.keys()
    after = [*rows, *(linked_article(each, once[each.id]) for each in new)]
    for some in (rows, after):
        shuffled = rng.sample(new, len(new))
        assert join_links(shuffled, own, rng.sample(some, len(some)), DAYS) == once
