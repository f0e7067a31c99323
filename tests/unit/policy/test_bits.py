from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor.policy.bits import bits, mask_of, span


@given(st.sets(st.integers(0, 400)))
def test_bits_gives_back_what_mask_of_took(numbers):
    assert list(bits(mask_of(numbers))) == sorted(numbers)


@given(st.integers(0, 200), st.integers(0, 200))
def test_span_is_every_number_between(first, last):
    assert list(bits(span(first, last))) == list(range(first, last + 1))
