"""Limits on the regular expressions of watchlists."""

from __future__ import annotations

import time

import pytest

from core.errors import SettingsError
from stream.watchlists.keywords import parse_keyword, regex_matches
from stream.watchlists.pattern_cost import MAX_ALL_STEPS, MAX_PATTERNS, MAX_STEPS, measured_cost_s, steps
from stream.watchlists.watchlists import parse_watchlists


@pytest.mark.parametrize(
    ("pattern", "size"),
    [
        ("债券.{0,6}违约", 10),
        ("((a{2}){3}){4}", 40),
        (r"\Qa{100}\E", 6),
        ("[]a]{5}", 10),
        ("(?i)ab", 2),
        ("(?P<n>ab){2}", 6),
        ("a{2,}", 3),
        (r"\p{Han}{9}", 180),
        (r"\x{4e2d}{3}", 3),
    ],
)
def test_repetitions_are_written_out(pattern, size):
    assert steps(pattern) == size


@pytest.mark.parametrize("pattern", ["债.{0,1000}y", ".{1000}zq", "(.{0,30}){30}zq", r"(\pL+\s){300}zq", "(债|券|违|约){900}"])
def test_a_large_pattern_is_refused_before_it_is_compiled(pattern):
    began = time.process_time()
    with pytest.raises(ValueError, match=rf"steps.*maximum is {MAX_STEPS}"):
        parse_keyword(f"/{pattern}/")
    assert time.process_time() - began < 0.05


def toml(patterns: list[str]) -> str:
    return f'[[watchlist]]\nname = "a"\nkeywords = [{", ".join(repr(f"/{each}/") for each in patterns)}]\n'


def test_the_number_of_patterns_of_all_watchlists_is_limited():
    many = [f"x{number}" for number in range(MAX_PATTERNS + 1)]
    assert len(parse_watchlists(toml(many[:-1]), "text", (), ())[0].terms) == MAX_PATTERNS
    with pytest.raises(SettingsError, match=rf"text: there are {MAX_PATTERNS + 1} regular expressions; the limit .* is {MAX_PATTERNS}"):
        parse_watchlists(toml(many), "text", (), ())


def test_the_size_of_all_patterns_together_is_limited():
    with pytest.raises(SettingsError, match=rf"steps; the limit for all watchlists together is {MAX_ALL_STEPS:,}"):
        parse_watchlists(toml([f"x{number}.{{180}}y" for number in range(12)]), "text", (), ())


def test_the_largest_permitted_patterns_take_a_bounded_time_and_ordinary_ones_almost_none():
    assert measured_cost_s(["债券.{0,6}违约", r"(?:default|违约)\w*"], regex_matches) < 0.1
    assert 0.1 < measured_cost_s([f"{chr(0x4E00 + n)}.{{0,190}}zq" for n in range(10)], regex_matches) < 10


def test_a_list_with_many_keywords_is_checked_in_linear_time():
    began = time.process_time()
    with pytest.raises(SettingsError, match="duplicated"):
        parse_watchlists('[[watchlist]]\nname = "a"\nkeywords = [' + "'ab'," * 20_000 + "]\n", "text", (), ())
    assert time.process_time() - began < 5
