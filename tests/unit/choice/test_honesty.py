"""What a choice claims to notice is noticed, and what it says to miss is missed, on random clusters."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from auditor.choice.filter import What
from auditor.choice.misreadings import misreadings
from auditor.diagnosis.cells import Cells
from auditor.diagnosis.dialects import SPECS
from auditor.diagnosis.filters import Filters
from auditor.model.policy import Direction
from auditor.model.verdict import Note
from auditor.policy.evaluator import evaluate
from auditor.policy.matrix import always_allowed
from auditor.probe_pods.choice import ProbeRequest
from auditor.probing.plan import ALWAYS_PROBED
from tests.choosing import Claims, at_end, differ, possible, read_so, stand_ins
from tests.marking import slow
from tests.strategies import DUAL, IPV4_ONLY, Shape, random_snapshot

SHAPES = (
    Shape(namespaces=3, pods=9, policies=5, hosts=0, host_network=0.0, families=(IPV4_ONLY,)),
    Shape(namespaces=2, pods=7, policies=6, hosts=0, host_network=0.1, families=(DUAL,)),
)


class Trial(Claims):
    """A choice for a random cluster, and what can be known of it without asking it."""

    def __init__(self, seed, most, draw=None):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPES[seed % 2])
        snapshot = replace(snapshot, endpoints=tuple(end for end in snapshot.endpoints if end.selectable))
        names = sorted(snapshot.namespaces)
        request = ProbeRequest((random.choice(names),) if seed % 3 else (), seed=draw)
        super().__init__(snapshot, request, most)
        self.probes = replace(self.snapshot, endpoints=stand_ins(self))
        self.pods = self.world.snapshot

    def possible(self, area, members, direction):
        """All connections that have one of ``members`` at the end of ``direction``."""
        return possible(self.pods.endpoints, area, members, direction)

    def ends_of(self, kind):
        names = set(self.members_of(kind))
        return [end for end in self.pods.endpoints if end.name in names]


def read_by(snapshot, policy, direction, reading):
    """What ``snapshot`` demands with ``policy`` read so in ``direction``."""
    return evaluate(replace(snapshot, policies=read_so(snapshot.policies, policy, direction, reading)))


SHOWS_ELSEWHERE = 60
"""A cluster where what is tried for one namespace shows misreadings in another."""


def check_claims(most, seeds, draw=None):
    told = Counter()
    for seed in seeds:
        trial = Trial(seed, most, draw)
        claims = trial.noticed
        written, written_on_pods = evaluate(trial.probes), evaluate(trial.pods)
        for area in trial.areas:
            for policy in (each for each in trial.snapshot.policies if each.namespace == area.namespace):
                for direction in Direction:
                    for each in misreadings(policy, direction):
                        read = read_by(trial.probes, policy, direction, each.reading)
                        on_pods = None
                        for number, kind in enumerate(area.kinds):
                            way = What(policy.full_name, direction, each.what)
                            claimed = claims.get((area.namespace, number, way))
                            cells = [*at_end(trial.planned(area), direction, trial.probes_of(kind))]
                            noticed = differ(written, read, cells)
                            assert noticed is bool(claimed), (seed, way, kind)
                            told[claimed] += 1
                            if claimed is None:
                                on_pods = on_pods or read_by(trial.pods, policy, direction, each.reading)
                                possible = trial.possible(area, trial.ends_of(kind), direction)
                                assert not differ(written_on_pods, on_pods, possible), (seed, way, kind)
    return told


@pytest.mark.parametrize("most", [3, slow(100)])
def test_what_is_claimed_of_misread_policies_is_so(most):
    told = check_claims(most, [*range(3), SHOWS_ELSEWHERE])
    assert min(told[claimed] for claimed in (True, None, *([False] if most == 3 else []))) > 20, told


def test_the_same_of_another_draw():
    assert check_claims(3, [2, SHOWS_ELSEWHERE], draw=5)[True] > 10


@pytest.mark.slow
def test_the_same_of_many_other_draws():
    for draw in (1, 11):
        assert check_claims(100, range(4, 14), draw)[True] > 100


@pytest.mark.slow
@pytest.mark.parametrize(("most", "seeds"), [(3, range(4, 40)), (3, range(40, 75)), (100, range(4, 28))], ids=str)
def test_the_same_of_many_random_clusters(most, seeds):
    told = check_claims(most, seeds)
    assert min(told[claimed] for claimed in (True, None, *([False] if most == 3 else []))) > 200, told


def test_what_is_claimed_of_filters_misread_as_a_whole_is_so_for_the_diagnosis():
    """``auditor.diagnosis.filters`` reads rules on its own."""
    told = Counter()
    for seed in range(12):
        trial = Trial(seed, 100)
        claims, written = trial.noticed, evaluate(trial.probes)
        for area in trial.areas:
            planned = [cell for cell in trial.planned(area) if cell.source != cell.destination]
            ends = {end.name: end for end in trial.probes.endpoints}
            planned = [cell for cell in planned if not always_allowed(ends[cell.source], ends[cell.destination])]
            planned = [cell for cell in planned if Note.CNI_DEPENDENT not in written.notes(*cell)]
            cells = Cells(trial.probes, planned)
            filters = Filters(cells)
            for dialect, spec in SPECS.items():
                if spec.exempts is None and not spec.first_policy_only and not spec.shuts:
                    continue
                for direction in Direction:
                    right, wrong = filters.passing(direction), filters.passing(direction, ((dialect, ""),))
                    changed = (right ^ wrong) & filters.passing(direction.opposite)
                    for number, kind in enumerate(area.kinds):
                        own = sum(cells.subjects(direction).get(name, 0) for name in trial.probes_of(kind))
                        claimed = claims.get((area.namespace, number, What("", direction, spec.phrase)))
                        isolated = any(
                            filters.isolated(policy, direction) & own
                            for policy in trial.snapshot.policies
                            if direction in policy.directions
                        )
                        if isolated:
                            assert bool(changed & own) is bool(claimed), (seed, dialect, direction, kind)
                            told[claimed] += 1
    assert min(told[True], told[None]) > 30, told


def everywhere(snapshot, spec):
    """``snapshot`` as an enforcer has it that takes every policy so."""
    read = map(spec.rewrite, snapshot.policies)
    return evaluate(replace(snapshot, policies=tuple(policy for policy in read if policy is not None)))


@pytest.mark.slow
def test_what_is_claimed_of_dialects_everywhere_is_so():
    """Both ends of a connection are misread."""
    told = Counter()
    for seed in range(24):
        trial = Trial(seed, 100)
        claims = trial.noticed
        written, written_on_pods = evaluate(trial.probes), evaluate(trial.pods)
        for spec in SPECS.values():
            if spec.rewrite is None or spec.timing is not None:
                continue
            read, on_pods = everywhere(trial.probes, spec), everywhere(trial.pods, spec)
            for area, direction in ((area, direction) for area in trial.areas for direction in Direction):
                for number, kind in enumerate(area.kinds):
                    way = What("", direction, f"{spec.phrase}, everywhere")
                    claimed = claims.get((area.namespace, number, way))
                    cells = [*at_end(trial.planned(area), direction, trial.probes_of(kind))]
                    if claimed is not None:
                        tried = [cell for cell in cells if cell.protocol in ALWAYS_PROBED]
                        assert differ(written, read, tried) is claimed, (seed, way, kind)
                    else:
                        possible = trial.possible(area, trial.ends_of(kind), direction)
                        assert not differ(written_on_pods, on_pods, possible), (seed, way, kind)
                    told[claimed] += 1
    assert min(told[True], told[None]) > 200, told
