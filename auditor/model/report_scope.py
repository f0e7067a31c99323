"""How much of a cluster a run looks at, so that report objects of a part don't take the place of those of the whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from auditor.model.words import in_brief

NARROWING = {"namespaces": "-n", "pods": "-l", "from": "--from", "to": "--to", "ports": "--ports"}
"""What leaves less of the cluster, and the option for it."""
WIDENING = {
    "per-node": "--per-node or --all-pods",
    "all-pods": "--all-pods",
    "probe-pods": "probe pods in the place of --in-place",
    "seconds": "the second probe pods that --one-per-class leaves out",
    "external": "the same --external",
    "intent": "--intent",
}
"""What looks at more, and the option for it."""


@dataclass(frozen=True, slots=True)
class ReportScope:
    """``narrowed`` has the values of the options that leave less of the cluster, by the names in ``NARROWING``;
    ``widened`` those of the options that look at more, by the names in ``WIDENING``. Without any: the whole cluster, in
    the usual depth.
    """

    narrowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    widened: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, narrowed: Mapping[str, tuple[str, ...]], widened: Mapping[str, tuple[str, ...]]) -> ReportScope:
        """The scope in which parts without a value play no role."""
        return cls(_given(narrowed), _given(widened))

    @classmethod
    def parse(cls, text: str) -> ReportScope | None:
        """What ``str`` made; None for anything else."""
        try:
            parts = json.loads(text).items()
            values = {name: tuple(map(str, each)) for name, each in parts if name in NARROWING or name in WIDENING}
        except (ValueError, TypeError, AttributeError):
            return None
        return cls.of(
            {name: values[name] for name in values if name in NARROWING},
            {name: values[name] for name in values if name in WIDENING},
        )

    def __str__(self) -> str:
        return json.dumps({**self.narrowed, **self.widened}, separators=(",", ":"))

    @property
    def part(self) -> str:
        """What leaves less of the namespaces, as options in a line; empty where all in them is looked at."""
        names = (name for name in NARROWING if name in self.narrowed and name != "namespaces")
        return " ".join(f"{NARROWING[name]} {','.join(self.narrowed[name])}" for name in names)

    def lacks(self, other: ReportScope) -> str:
        """Why this scope doesn't have all of ``other``, by an option; empty where it has."""
        for name, values in self.narrowed.items():
            wanted = other.narrowed.get(name, ())
            if not wanted or not set(wanted) <= set(values):
                return f"with {NARROWING[name]} {in_brief(values, 3)}"
        for name, values in other.widened.items():
            if not set(values) <= set(self.widened.get(name, ())):
                return f"without {WIDENING[name]}"
        return ""


WHOLE_CLUSTER = ReportScope()


def _given(values: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(sorted(set(each))) for name, each in values.items() if each}
