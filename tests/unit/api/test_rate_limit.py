"""The rate limiter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rate_limit import RateLimiter, headers


@given(st.integers(1, 900), st.lists(st.floats(0, 30), max_size=60))
def test_a_bucket_never_allows_more_than_its_capacity_and_refill(per_minute: int, pauses: list[float]):
    limiter = RateLimiter(per_minute)
    now = 0.0
    for taken, pause in enumerate(pauses, 1):
        now += pause
        state = limiter.take("a", now)
        if state.wait_s:
            assert limiter.take("a", now + state.wait_s + 1e-6).wait_s == 0, "a request after wait_s is allowed"
            return
        assert taken <= per_minute + now * per_minute / 60 + 1e-6
        assert 0 <= state.remaining < per_minute
        assert "Retry-After" not in headers(state, per_minute)


def test_a_full_bucket_holds_the_requests_of_a_minute_and_refills_evenly():
    limiter = RateLimiter(60)
    assert [limiter.take("a", 5.0).remaining for _ in range(60)] == list(range(59, -1, -1))
    assert limiter.take("a", 5.0).wait_s == pytest.approx(1.0)
    assert limiter.take("b", 5.0).remaining == 59
    assert limiter.take("a", 6.0).wait_s == 0
    assert limiter.take("a", 6.0).wait_s == pytest.approx(1.0)
    assert limiter.take("a", 1e6).remaining == 59
