"""What docs/claims.md says that runs with packets print is what they print."""

from __future__ import annotations

import pytest

from auditor.cli.application import run
from tests.marking import some
from tests.unit.scenarios.claims import answers, joined

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("answer", some(answers(packets=True), 3), ids=lambda answer: answer.command)
def test_the_sentence_is_printed(answer, capsys):
    run([*answer.arguments, "--settle", "0.5"])
    said = capsys.readouterr()
    assert answer.sentence in joined(said.out), said.err
