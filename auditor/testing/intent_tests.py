"""``audit test``: whole intent files, without pytest."""

from __future__ import annotations

import time
from collections.abc import Sequence

from auditor.model.checks import CheckResult, ChecksReport, ExpectedCheck, RulesResult
from auditor.model.errors import UsageError
from auditor.model.intent import Intent
from auditor.parsing.intent import SCHEMA, read_intent
from auditor.parsing.source import Source
from auditor.run.sources import load_sources
from auditor.testing.backends import Backend
from auditor.testing.intents import check_rules
from auditor.testing.netpol import Netpol

LOOKED_AT = 4096
"""Bytes at the beginning of a file in which its schema stands."""


def find_intents(paths: Sequence[str]) -> tuple[Intent, ...]:
    """The intents at ``paths``: files, and those of directories that say that they are one.

    Raises UsageError where there is none, and InputError for one that can't be read.
    """
    sources = load_sources(paths, recursive=True)
    intents = tuple(read_intent(source) for source in sources if not source.found or _is_intent(source))
    if not intents:
        raise UsageError(f"{', '.join(paths)}: no intent, a file with schema: {SCHEMA}")
    return intents


def _is_intent(source: Source) -> bool:
    start = source.data[:LOOKED_AT].splitlines()
    return any(line.strip().strip(b'{", ').replace(b'"', b"").startswith(b"schema: audit.intent/") for line in start)


def run_intents(intents: Sequence[Intent], backend: Backend, subject: str) -> ChecksReport:
    """What came of every connection that ``intents`` expect and of their rules, on ``backend``.

    Raises UsageError, with the places, for checks of what is not there, and ClusterError.
    """
    began = time.monotonic()
    expected = [each for intent in intents for each in intent.expect]
    Netpol(backend).expecting(each.check for each in expected)
    checks = _checked(expected, backend)
    rules: tuple[RulesResult, ...] = ()
    if any(intent.rules for intent in intents):
        snapshot = backend.snapshot()
        rules = tuple(check_rules(intent, snapshot) for intent in intents if intent.rules)
    return ChecksReport(subject, tuple(checks), rules, time.monotonic() - began)


def _checked(expected: Sequence[ExpectedCheck], backend: Backend) -> list[CheckResult]:
    results, wrong = [], []
    for each in expected:
        try:
            results.append(CheckResult(each, backend.answers([each.check])[0]))
        except UsageError as error:
            wrong += [f"{each.place}: {line}" for line in error.lines]
    if wrong:
        raise UsageError(*dict.fromkeys(wrong))
    return results
