"""What the diagnosis knows of dialects is whole, and each of them differs from the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from auditor.diagnosis.dialects import SPECS, DialectSpec
from auditor.model.dialect import FAULTLESS, Dialect


def test_every_dialect_is_known():
    assert list(SPECS) == list(Dialect)


@pytest.mark.parametrize("dialect", Dialect)
def test_what_can_be_seen_is_put_into_words(dialect):
    spec = SPECS[dialect]
    assert bool(spec.phrase) is not spec.unseen
    assert spec.advice
    assert not spec.unseen or dialect in FAULTLESS


@pytest.mark.parametrize("dialect", [dialect for dialect in Dialect if not SPECS[dialect].unseen])
def test_what_can_be_seen_does_something(dialect):
    said = replace(SPECS[dialect], phrase="", advice=DialectSpec().advice, said_of={}, not_for=frozenset())
    assert said != DialectSpec()


def test_no_two_dialects_are_called_the_same():
    assert max(Counter(spec.phrase for spec in SPECS.values() if spec.phrase).values()) == 1
