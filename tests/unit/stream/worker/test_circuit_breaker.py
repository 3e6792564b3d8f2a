"""The circuit breaker for unusable records."""

from __future__ import annotations

import pytest

from core.errors import CircuitOpen
from stream.worker.circuit_breaker import MIN_DEAD_LETTERS, WINDOW_MESSAGES, CircuitBreaker


def test_a_low_ratio_of_bad_records_never_opens_the_circuit():
    breaker = CircuitBreaker(0.5)
    for _ in range(200):
        breaker.record("articles", 64, 16, "bad")
    for _ in range(MIN_DEAD_LETTERS - 1):
        breaker.record("scores", 1, 1, "a topic with few messages")


def test_an_open_circuit_reports_ratio_topic_and_last_reason():
    breaker = CircuitBreaker(0.5)
    for _ in range(MIN_DEAD_LETTERS - 1):
        breaker.record("articles", 1, 1, "bad")
    with pytest.raises(CircuitOpen, match=r"100 of the last 100 records of articles .* dead_letter_max_ratio \(0.5\) .*last reason: 油价"):
        breaker.record("articles", 1, 1, "油价")
    breaker.record("scores", 1, 1, "another topic")


def test_only_the_recent_messages_count_and_one_good_batch_does_not_close_the_circuit():
    breaker = CircuitBreaker(0.5)
    for _ in range(20):
        breaker.record("articles", 100, 0)
    with pytest.raises(CircuitOpen):
        for _ in range(WINDOW_MESSAGES // 100):
            breaker.record("articles", 100, 90, "bad")
    breaker.record("articles", 100, 0)
    with pytest.raises(CircuitOpen):
        breaker.record("articles", 100, 60, "bad")


def test_after_a_restart_recent_dead_letters_count_until_good_batches_follow():
    with pytest.raises(CircuitOpen):
        CircuitBreaker(0.5, {"articles": 400}).record("articles", 1, 1, "bad")
    breaker = CircuitBreaker(0.5, {"articles": 400})
    breaker.record("articles", 64, 1, "one of many")
    breaker.record("articles", 64, 0)
    breaker.record("articles", 1, 1, "a single one")


def test_a_maximum_ratio_of_one_never_opens_the_circuit():
    CircuitBreaker(1.0, {"articles": 5000}).record("articles", 5000, 5000, "bad")
