"""Whether everything is open where no policy is in force: before the policies of a scenario come to pods that have been
under others, what they are to close must be seen open, or it could be the others that still close it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from auditor.loop.apart import apart
from auditor.model.verdict import Cell, Verdict
from auditor.probing.agent_pool import AgentPool
from auditor.probing.attempts import Answer
from auditor.probing.batches import Attempt
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.routes import Routing, route_cells
from auditor.run.conformance.following import PAUSE, SHORT_TIMEOUT
from auditor.run.conformance.prepared_scenarios import PreparedScenario
from auditor.run.conformance.testbed import Testbed


async def still_closed(
    testbed: Testbed, prepared_scenarios: Sequence[PreparedScenario], options: ProbingOptions
) -> set[Cell]:
    """Those connections of ``prepared_scenarios``, of which no policy is in force yet, that are to be denied later and
    didn't open within the settle time. Raises ClusterError.
    """
    routing = await apart(_routing, testbed, prepared_scenarios)
    timeout = min(SHORT_TIMEOUT, options.timeout)
    nodes = {address for each in prepared_scenarios for address in testbed.actual(each).snapshot.node_addresses}
    async with AgentPool(routing.sites, testbed.open, options, NoProgress(), nodes) as pool:
        await pool.start(routing.listeners, (), timeout)
        closed = dict(routing.routes)
        deadline = time.monotonic() + max(options.settle, options.timeout)
        while closed and time.monotonic() < deadline:
            attempts = [Attempt(route.source.name, route.destination.name, route.target) for route in closed.values()]
            tries = await pool.fire(attempts, timeout)
            await asyncio.sleep(PAUSE)
            open_now = {cell for cell, one in zip(closed, tries, strict=True) if one.answer is Answer.ALLOWED}
            closed = {cell: route for cell, route in closed.items() if cell not in open_now}
    return set(closed)


def _routing(testbed: Testbed, prepared_scenarios: Sequence[PreparedScenario]) -> Routing:
    denied = [cell for prepared in prepared_scenarios for cell, it in prepared.truth.items() if it is Verdict.DENIED]
    return route_cells(denied, testbed.sites, {**testbed.absent, **testbed.failed})
