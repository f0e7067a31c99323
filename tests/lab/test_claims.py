"""What docs/claims.md says that runs with packets print is what they print."""

from __future__ import annotations

import pytest

from tests.unit.cli.audit_process import audit_process
from tests.unit.scenarios.claims import answers, joined

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("answer", answers(packets=True), ids=lambda answer: answer.command)
def test_the_sentence_is_printed(answer):
    done = audit_process(*answer.arguments, "--settle", "0.5")
    assert answer.sentence in joined(done.stdout), done.stderr
