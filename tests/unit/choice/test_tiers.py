"""What a choice claims of policies of administrators is so, on random clusters."""

from collections import Counter
from dataclasses import replace
from itertools import islice
from random import Random

import pytest

from auditor.choice.admin_misreadings import admin_misreadings
from auditor.choice.filter import What
from auditor.choice.misreadings import misreadings
from auditor.diagnosis.dialects import SPECS
from auditor.model.policy import Direction
from auditor.policy.evaluator import evaluate
from auditor.probe_pods.choice import ProbeRequest
from tests.choosing import Claims, admin_read_so, at_end, differ, possible, read_so, stand_ins
from tests.marking import slow
from tests.strategies import DUAL, IPV4_ONLY, Shape, random_snapshot

SHAPES = (
    Shape(
        namespaces=3, pods=9, policies=3, hosts=0, host_network=0.0, families=(IPV4_ONLY,), admin_policies=4, nodes=2
    ),
    Shape(namespaces=2, pods=7, policies=2, hosts=0, host_network=0.1, families=(DUAL,), admin_policies=5),
)


class Trial(Claims):
    """A choice for a random cluster with all tiers, no two policies of which have one priority but for ``ties``."""

    def __init__(self, seed, most, *, ties=False):
        random = Random(seed)
        snapshot = random_snapshot(random, SHAPES[seed % 2])
        ends = tuple(end for end in snapshot.endpoints if end.selectable)
        admin = snapshot.admin_policies
        admin = admin if ties else tuple(replace(each, priority=n * 7 % 11) for n, each in enumerate(admin))
        snapshot = replace(snapshot, endpoints=ends, admin_policies=admin)
        names = sorted(snapshot.namespaces)
        super().__init__(snapshot, ProbeRequest((random.choice(names),) if seed % 3 else ()), most)
        self.probes = replace(snapshot, endpoints=stand_ins(self))
        self.pods = self.world.snapshot
        self.written, self.written_on_pods = evaluate(self.probes), evaluate(self.pods)

    def ways(self, area):
        """Each misreading of a policy that has to do with ``area``: the way, and what else the cluster has then."""
        for direction in Direction:
            for policy in self.snapshot.admin_policies:
                for each in admin_misreadings(policy, direction):
                    read = admin_read_so(self.snapshot.admin_policies, policy, direction, each.reading)
                    yield What(policy.full_name, direction, each.what), {"admin_policies": read}
            for policy in (each for each in self.snapshot.policies if each.namespace == area.namespace):
                for each in misreadings(policy, direction):
                    read = read_so(self.snapshot.policies, policy, direction, each.reading)
                    yield What(policy.full_name, direction, each.what), {"policies": read}

    def check(self, area, way, read, on_pods):
        """What is claimed of ``way`` at each kind, held against what the probe pods show with it, and all pods."""
        for number, kind in enumerate(area.kinds):
            claimed = self.noticed.get((area.namespace, number, way))
            cells = [*at_end(self.planned(area), way.direction, self.probes_of(kind))]
            assert differ(self.written, read, cells) is bool(claimed), (way, kind)
            if claimed is None:
                names = set(self.members_of(kind))
                ends = [end for end in self.pods.endpoints if end.name in names]
                cells = possible(self.pods.endpoints, area, ends, way.direction)
                assert not differ(self.written_on_pods, on_pods(), cells), (way, kind)
            yield claimed


def held(seed, most, one_in=1):
    """What is claimed of one in so many ways."""
    trial = Trial(seed, most)
    told = Counter()
    for area in trial.areas:
        for way, read in islice(trial.ways(area), seed % one_in, None, one_in):
            told.update(
                trial.check(
                    area,
                    way,
                    evaluate(replace(trial.probes, **read)),
                    lambda read=read: evaluate(replace(trial.pods, **read)),
                )
            )
    return told


@pytest.mark.parametrize("most", [3, slow(100)])
def test_what_is_claimed_of_misread_policies_is_so(most):
    told = sum((held(seed, most, one_in=5) for seed in range(6)), Counter())
    assert min(told[True], told[None]) > 5, told
    assert told[False] or most > 3, told


def everywhere(snapshot, spec):
    """``snapshot`` as an enforcer has it that takes every policy so; the order of tiers can't be put so."""
    policies = snapshot.policies if spec.rewrite is None else [*filter(None, map(spec.rewrite, snapshot.policies))]
    admin = snapshot.admin_policies if spec.admin is None else spec.admin(snapshot.admin_policies)
    return evaluate(replace(snapshot, policies=tuple(policies), admin_policies=tuple(admin)))


def test_what_is_claimed_of_dialects_everywhere_is_so():
    told = Counter()
    for seed in range(2):
        trial = Trial(seed, 100)
        for spec in SPECS.values():
            if spec.timing is None and (spec.rewrite is not None or spec.admin is not None):
                read, on_pods = everywhere(trial.probes, spec), everywhere(trial.pods, spec)
                for area in trial.areas:
                    for direction in Direction:
                        way = What("", direction, f"{spec.phrase}, everywhere")
                        told.update(trial.check(area, way, read, lambda on_pods=on_pods: on_pods))
    assert min(told[True], told[None]) > 20, told
