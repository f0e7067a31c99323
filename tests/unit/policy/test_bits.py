from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor.policy.bits import bits, mask_of, octet_columns, span, words_of


@given(st.sets(st.integers(0, 400)))
def test_bits_gives_back_what_mask_of_took(numbers):
    assert list(bits(mask_of(numbers))) == sorted(numbers)


@given(st.integers(0, 200), st.integers(0, 200))
def test_span_is_every_number_between(first, last):
    assert list(bits(span(first, last))) == list(range(first, last + 1))


@given(st.lists(st.sets(st.integers(0, 40)), min_size=1, max_size=8))
def test_octets_have_a_bit_for_each_mask(sets):
    columns = octet_columns([mask_of(numbers) for numbers in sets], 41)
    assert list(columns) == [mask_of(place for place, each in enumerate(sets) if n in each) for n in range(41)]


@given(st.sets(st.integers(0, 300)))
def test_words_are_the_mask_in_pieces(numbers):
    words = words_of(mask_of(numbers), 5)
    assert {place * 64 + bit for place, word in enumerate(words) for bit in bits(word)} == numbers
