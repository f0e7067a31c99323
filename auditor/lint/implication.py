"""Whether one part of a policy covers another for every cluster, not just for the pods that happen to exist.

Redundancy that holds only by chance is not reported; what is found here stays true whatever is created next. Where the
answer is not certain, it is "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce

from auditor.model.labels import NAMESPACE_NAME_LABEL, LabelSelector, Operator, Requirement
from auditor.model.policy import IPBlock, Peer
from auditor.model.snapshot import Namespace
from auditor.policy.addresses import Ranges, bounds

MOST_REMEMBERED = 1 << 16
MOST_BLOCKS_REMEMBERED = 1 << 14
NO_RANGES = Ranges(())


@dataclass(frozen=True, slots=True)
class LabelCondition:
    """What a selector asks of one label: whether the label may be missing, and ``values``: the only ones or,
    ``negated``, none of them.
    """

    may_be_missing: bool = True
    values: frozenset[str] = frozenset()
    negated: bool = True

    def both(self, other: LabelCondition) -> LabelCondition:
        """The condition that holds where both do."""
        missing = self.may_be_missing and other.may_be_missing
        if self.negated and other.negated:
            return LabelCondition(missing, self.values | other.values)
        if self.negated or other.negated:
            only, never = (other, self) if self.negated else (self, other)
            return LabelCondition(missing, only.values - never.values, negated=False)
        return LabelCondition(missing, self.values & other.values, negated=False)

    def implies(self, other: LabelCondition) -> bool:
        """Whether ``other`` holds wherever this does."""
        if self.may_be_missing and not other.may_be_missing:
            return False
        if self.negated:
            return other.negated and other.values <= self.values
        return self.values.isdisjoint(other.values) if other.negated else self.values <= other.values


ANYTHING = LabelCondition()


def _condition(requirement: Requirement) -> LabelCondition:
    match requirement.operator:
        case Operator.IN:
            return LabelCondition(may_be_missing=False, values=frozenset(requirement.values), negated=False)
        case Operator.NOT_IN:
            return LabelCondition(values=frozenset(requirement.values))
        case Operator.EXISTS:
            return LabelCondition(may_be_missing=False)
        case Operator.DOES_NOT_EXIST:
            return LabelCondition(negated=False)


@lru_cache(MOST_REMEMBERED)
def conditions(selector: LabelSelector) -> dict[str, LabelCondition]:
    """What ``selector`` asks of each label that it reads."""
    found: dict[str, list[LabelCondition]] = {}
    for key, value in selector.match_labels:
        found.setdefault(key, []).append(LabelCondition(may_be_missing=False, values=frozenset({value}), negated=False))
    for requirement in selector.match_expressions:
        found.setdefault(requirement.key, []).append(_condition(requirement))
    return {key: reduce(LabelCondition.both, parts) for key, parts in found.items()}


@lru_cache(MOST_REMEMBERED)
def selector_implies(narrow: LabelSelector, wide: LabelSelector) -> bool:
    """Whether every set of labels that meets ``narrow`` meets ``wide``."""
    given = conditions(narrow)
    return all(given.get(key, ANYTHING).implies(wanted) for key, wanted in conditions(wide).items())


def may_match(selector: LabelSelector, namespace: Namespace) -> bool:
    """Whether ``selector`` matches a namespace, or may where not all of its labels are known."""
    if namespace.known:
        return selector.matches(namespace.labels)
    called = conditions(selector).get(NAMESPACE_NAME_LABEL, ANYTHING)
    return LabelCondition(may_be_missing=False, values=frozenset({namespace.name}), negated=False).implies(called)


def peer_implies(narrow: Peer, wide: Peer, namespace: str) -> bool:
    """Whether everything that ``narrow`` names is also in ``wide``, both in policies of ``namespace``."""
    if narrow.ip_block is not None or wide.ip_block is not None:
        return (
            narrow.ip_block is not None and wide.ip_block is not None and block_implies(narrow.ip_block, wide.ip_block)
        )
    own = LabelSelector(((NAMESPACE_NAME_LABEL, namespace),))
    everything = LabelSelector()
    return selector_implies(narrow.namespace_selector or own, wide.namespace_selector or own) and selector_implies(
        narrow.pod_selector or everything, wide.pod_selector or everything
    )


def block_implies(narrow: IPBlock, wide: IPBlock) -> bool:
    """Whether every address in ``narrow`` is in ``wide``."""
    if narrow.cidr.version != wide.cidr.version:
        return False
    first, last = bounds(narrow.cidr)
    widest_first, widest_last = bounds(wide.cidr)
    if first < widest_first or last > widest_last:
        return False
    excepted = excepts_of(narrow)
    return all(excepted.include(*each) for each in excepts_of(wide).meeting(first, last))


@lru_cache(MOST_BLOCKS_REMEMBERED)
def _ranges(block: _ById) -> Ranges:
    return Ranges(network for network in block.block.excepts if network.version == block.block.cidr.version)


def excepts_of(block: IPBlock) -> Ranges:
    """The excepts of ``block``, ready for many questions."""
    return _ranges(_ById(block)) if block.excepts else NO_RANGES


class _ById:
    """A block as the key of a cache: the same object, since comparing thousands of excepts takes longer than to go
    through them.
    """

    __slots__ = ("block",)

    def __init__(self, block: IPBlock) -> None:
        self.block = block

    def __hash__(self) -> int:
        return id(self.block)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and self.block is other.block
