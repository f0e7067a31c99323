"""When the containers of new pods began: what was open from then on, though it should be denied, was open too long.

Nothing is tried before all pods run and their agents listen, so what a pod lets through in its first moments is seen
only where it lasts until then. That moment is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from auditor.model.verdict import Cell
from auditor.probing.routes import Route


class Starts:
    """When the ends of ``routes`` began, as ``started`` says of the site with a name; None where it doesn't know."""

    def __init__(self, started: Callable[[str], float | None], routes: Mapping[Cell, Route]) -> None:
        self._started = started
        self._routes = routes

    def before(self, moment: float, cell: Cell) -> float:
        """How many seconds before ``moment`` the younger end of ``cell`` had started; 0 where neither is known to be
        new, or one is new and can't tell.
        """
        route = self._routes[cell]
        ends = (route.source, route.destination)
        known = [self._started(end.name) for end in ends if end.created is not None]
        starts = [start for start in known if start is not None]
        return max(0.0, moment - max(starts)) if starts and len(starts) == len(known) else 0.0

    def fact(self, moment: float) -> str:
        """How long new pods had been running at ``moment``, that of the first attempts; empty if none are new."""
        ends = {end.name for route in self._routes.values() for end in (route.source, route.destination)}
        ages = sorted(max(0.0, moment - start) for start in map(self._started, ends) if start is not None)
        if not ages:
            return ""
        span = f"{ages[0]:.1f} s" if ages[-1] - ages[0] < 0.1 else f"{ages[0]:.1f} to {ages[-1]:.1f} s"
        return f"probe pods were first tried {span} after their start: what was open only before that is not seen"
