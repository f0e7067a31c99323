"""The index of labels answers as asking each thing does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditor.model.labels import LabelSelector, Operator, Requirement
from auditor.policy.label_index import LabelIndex

KEYS, VALUES = ("app", "tier"), ("", "a", "b")
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
things = st.lists(st.none() | labels, max_size=12)


@st.composite
def requirements(draw):
    operator = draw(st.sampled_from(list(Operator)))
    valued = operator in (Operator.IN, Operator.NOT_IN)
    values = draw(st.lists(st.sampled_from((*VALUES, "nobody's")), min_size=1, unique=True)) if valued else []
    return Requirement(draw(st.sampled_from((*KEYS, "none"))), operator, tuple(values))


selectors = st.builds(
    lambda equal, more: LabelSelector(tuple(equal.items()), tuple(more)), labels, st.lists(requirements(), max_size=3)
)


def those(present, condition):
    return sum(1 << number for number, each in enumerate(present) if each is not None and condition(each))


@given(things, st.lists(selectors, min_size=1, max_size=4))
def test_those_that_match_are_those_whose_labels_match(present, asked):
    index = LabelIndex(present)
    for selector in (*asked, *asked):
        assert index.matching(selector) == those(present, lambda each, by=selector: by.matches(each))


@given(things, st.sampled_from(KEYS), st.sampled_from(VALUES))
def test_those_with_a_label_and_those_with_its_key(present, key, value):
    index = LabelIndex(present)
    assert index.having(key, value) == those(present, lambda each: each.get(key) == value)
    assert index.with_key(key) == those(present, lambda each: key in each)
