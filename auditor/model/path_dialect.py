"""The ways in which an enforcer is known to treat what comes through a Service otherwise than the same connection
without it.

Like ``auditor.model.dialect``: names and definitions alone are shared. The lab plays them, the diagnosis recognises
them and the tests predict them, each on its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class PathDialect(StrEnum):
    """What is wrong on the way through a Service. ``PATH_DEFINITIONS`` says precisely what each means."""

    __hash__ = str.__hash__  # as Dialect

    SERVICE_SKIPS_POLICY = "service-skips-policy"
    SERVICE_SNAT = "service-snat"
    HAIRPIN_POLICED = "hairpin-policed"
    JUDGES_BEFORE_DNAT = "judges-before-dnat"
    NODE_PORT_SKIPS_POLICY = "node-port-skips-policy"
    HAIRPIN_REPLIES_JUDGED = "hairpin-replies-judged"
    DNS_PAIR_LOSES_ONE = "dns-pair-loses-one"


PATH_DEFINITIONS: Mapping[PathDialect, str] = {
    PathDialect.SERVICE_SKIPS_POLICY: "filters nothing that goes through a Service from a pod to a pod of the "
    "same node",
    PathDialect.SERVICE_SNAT: "gives what leaves a node through a Service the node's address as its source",
    PathDialect.HAIRPIN_POLICED: "filters what a pod sends to itself through a Service as if it came from elsewhere, "
    "from the node's address",
    PathDialect.JUDGES_BEFORE_DNAT: "judges egress to a ClusterIP by that address and the Service's port, not by the "
    "backend's",
    PathDialect.NODE_PORT_SKIPS_POLICY: "filters nothing that reaches a pod through a NodePort of its own node",
    PathDialect.HAIRPIN_REPLIES_JUDGED: "judges the replies of a pod to itself through a Service as new connections "
    "to the node's address",
    PathDialect.DNS_PAIR_LOSES_ONE: "loses the second of two DNS questions that go out from one socket at once",
}
OF_SERVICES = tuple(each for each in PathDialect if each is not PathDialect.DNS_PAIR_LOSES_ONE)
"""Those that connections through Services show; the other one shows in lookups by DNS."""
