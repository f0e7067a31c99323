"""How much of what could be wrong with the audited policies the connections of a run notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auditor.choice.noticing import telling_connections
from auditor.choice.whole import ledger_of_plan
from auditor.model.noticing import Noticing
from auditor.model.report import CellResult
from auditor.run.live_plan import LiveOptions, LivePlan, request_of


def noticing_of(
    options: LiveOptions, intended: LivePlan, results: Sequence[CellResult], *, ports_given: bool
) -> Noticing | None:
    """What those of ``results`` notice that say anything, of all that could be wrong with the policies that were
    audited; None where there is nothing.

    ``ports_given``: others were tried than a choice would have been about.
    """
    if intended.chosen is not None and not ports_given:
        return intended.chosen.ledger.of_results(results)
    workloads = intended.live.snapshot
    probes = [end for end in intended.snapshot.endpoints if end.selectable]
    tried = telling_connections(results)
    ledger = ledger_of_plan(workloads, options.externals, request_of(intended.live, options), probes, tried)
    noticing = replace(ledger.of(tried), chosen=intended.chosen is not None)
    return noticing if noticing.ways else None
