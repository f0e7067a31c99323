"""Objects that are in the input twice, and differently: none of the two is known to be the one that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.parsing.fields import Fields
from auditor.parsing.pods import Workload


@dataclass(frozen=True, slots=True)
class Differing:
    """An object that is there twice. ``name`` is ``NAMESPACE/NAME``, or ``NAME`` for one in no namespace."""

    kind: str
    name: str
    first: Fields
    second: Fields

    @property
    def first_place(self) -> str:
        return _place(self.first)

    @property
    def second_place(self) -> str:
        return _place(self.second)

    @property
    def why(self) -> str:
        """What makes it doubtful, after its name."""
        return f"is defined twice, and differently, at {self.first_place} and at {self.second_place}"


def _place(fields: Fields) -> str:
    return f"{fields.document.source}:{fields.line}"


def unsure_of(workload: Workload, first: Workload, second: Workload) -> Workload:
    """``workload``; where it is ``first``, without those labels of its pods that ``second`` has otherwise."""
    if workload is not first:
        return workload
    one, other = first.template.labels, second.template.labels
    differing = {key for key in (*one, *other) if one.get(key) != other.get(key)}
    template = replace(
        first.template,
        labels={key: value for key, value in one.items() if key not in differing},
        unknown_labels=first.template.unknown_labels | differing,
    )
    return replace(workload, template=template)


def remarks(differing: Sequence[Differing]) -> Iterator[str]:
    """What to say of them, in one line."""
    if not differing:
        return
    first = differing[0]
    rest = len({(each.kind, each.name) for each in differing}) - 1
    more = f" (and {rest:,} more)" if rest else ""
    yield (
        f"{first.kind} {first.name} {first.why}{more}: what such policies decide is in doubt, and of all else the "
        "first counts; give one of the variants alone, or leave the others out with --exclude"
    )
