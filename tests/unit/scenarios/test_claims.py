"""What docs/claims.md says that commands print is what they print; for those with packets see ``tests/lab``."""

from __future__ import annotations

import pytest

from auditor.cli.application import run
from auditor.run.sources import load_scenario, scenario_names
from tests.unit.scenarios.claims import answers, joined, rows


@pytest.mark.parametrize("answer", answers(packets=False), ids=lambda answer: answer.command)
def test_the_sentence_is_printed(answer, capsys):
    run(answer.arguments)
    said = capsys.readouterr()
    assert answer.sentence in joined(said.out + said.err)


def test_every_row_is_held_against_its_output():
    assert len(answers(packets=False)) + len(answers(packets=True)) == len(rows())


def test_every_wrong_claim_is_answered():
    wrong = {name for name in scenario_names() if load_scenario(name).claim_is_right is False}
    answered = {name for packets in (False, True) for answer in answers(packets=packets) for name in answer.scenarios}
    assert len(wrong) >= 6
    assert wrong - answered == set()
    assert answered <= set(scenario_names())
