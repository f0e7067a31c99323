"""How much of what could be wrong with the enforcement of policies an audit would notice."""

from __future__ import annotations

from dataclasses import dataclass

from auditor.model.words import pluralize


@dataclass(frozen=True, slots=True)
class Noticing:
    """Of ``ways`` in which an enforcer could ignore or misread any of ``policies``, each at one kind of pod and in one
    direction, an audit would notice ``noticed``. ``missed`` has the others in words, no more than some of them.

    Beside these there are ``unseen`` ways that would change nothing between any two pods that the cluster has.
    ``chosen``: probe pods were chosen to notice them. Only then can a share be asked for: a whole plan is what it is.
    """

    policies: int
    ways: int
    noticed: int
    unseen: int
    missed: tuple[str, ...] = ()
    chosen: bool = True

    @property
    def share(self) -> float:
        """The share, 0 to 1, that would be noticed; 1 where there is nothing to notice."""
        return self.noticed / self.ways if self.ways else 1.0

    def falls_short_of(self, share: float) -> bool:
        """Whether less would be noticed than the ``share``, 0 to 1, that is asked for."""
        return self.chosen and self.share < share

    def __str__(self) -> str:
        which = f"this {pluralize(1, 'policy')}" if self.policies == 1 else f"these {self.policies:,} policies"
        return f"would notice {self.noticed:,} of {self.ways:,} ways in which {which} could be ignored or misread"
