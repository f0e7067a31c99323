"""What an enforcer does with packets that a Service has translated: what the specification demands, and each dialect of
the way through Services, as rules beside those of a node (``auditor.cluster.lab.nftables``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.service_rules import POD_LINKS, pairs
from auditor.model.addresses import IPAddress
from auditor.model.path_dialect import PathDialect
from auditor.model.snapshot import Family

NONE = AddressSet()
_NAMES = ((Family.IPV4, "ip"), (Family.IPV6, "ip6"))


@dataclass(frozen=True, slots=True)
class ServicePath:
    """What one node's filter has to know of Services: the addresses of the pods that are there (``pods``), the node's
    ``own``, those of Services (``cluster_ips``); and what its enforcer does wrong, if anything (``dialect``).
    """

    pods: Sequence[IPAddress] = ()
    own: Sequence[IPAddress] = ()
    cluster_ips: AddressSet = NONE
    dialect: PathDialect | None = None

    def exempt(self, accept: str) -> list[str]:
        """What is let through before any policy is asked, by ``accept``: what a pod sends to itself, and what the
        dialect skips.
        """
        lines = [
            f"{name} saddr . {name} daddr {{ {pairs(addresses)} }} {accept}"
            for family, name in _NAMES
            if (addresses := _of(self.pods, family))
        ]
        if self.dialect is PathDialect.SERVICE_SKIPS_POLICY:
            lines.append(f'ct direction original ct status dnat iifname "{POD_LINKS}" oifname "{POD_LINKS}" {accept}')
        if self.dialect is PathDialect.NODE_PORT_SKIPS_POLICY:
            translated = "ct direction original ct status dnat ct original"
            lines += [
                f'{translated} {name} daddr {address} oifname "{POD_LINKS}" {accept}'
                for family, name in _NAMES
                for address in _of(self.own, family)
            ]
        return lines

    def egress(self, jumps: Sequence[str]) -> list[str]:
        """The rules for what pods send, which are ``jumps``."""
        if self.dialect is not PathDialect.JUDGES_BEFORE_DNAT:
            return list(jumps)
        return [
            f"meta nfproto ipv{family.value} {self._not_to_a_service(family, name)}{line}"
            for line in jumps
            for family, name in _NAMES
        ]

    def _not_to_a_service(self, family: Family, name: str) -> str:
        if not self.cluster_ips.spans(family):
            return ""
        return f"ct original {name} daddr != {{ {', '.join(self.cluster_ips.texts(family))} }} "

    def hooks(self, before: Sequence[str], jumps: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
        """Further base chains. ``jumps`` has the rules for what pods send (``egress``) and receive (``ingress``)."""
        match self.dialect:
            case PathDialect.JUDGES_BEFORE_DNAT:
                early = [
                    f"ct direction original {name} daddr {{ {', '.join(self.cluster_ips.texts(family))} }} {line}"
                    for family, name in _NAMES
                    if self.cluster_ips.spans(family)
                    for line in jumps["egress"]
                ]
                return [("early", "type filter hook prerouting priority -150; policy accept;", *before, *early)]
            case PathDialect.SERVICE_SNAT:
                as_node = [
                    f'ct status dnat oifname "uplink" meta nfproto ipv{family.value} snat {name} to {address}'
                    for family, name in _NAMES
                    for address in _of(self.own, family)
                ]
                return [("translated", "type nat hook postrouting priority 90; policy accept;", *as_node)]
            case PathDialect.HAIRPIN_POLICED:
                masqueraded = [f"ct direction original {own}{line}" for own in self._own() for line in jumps["ingress"]]
                late = "type filter hook postrouting priority 300; policy accept;"
                return [("masqueraded", late, *before, *masqueraded)]
            case PathDialect.HAIRPIN_REPLIES_JUDGED:
                replies = [f"ct direction reply {own}{line}" for own in self._own() for line in jumps["egress"]]
                return [("replies", "type filter hook prerouting priority -150; policy accept;", *replies)]
            case PathDialect.DNS_PAIR_LOSES_ONE:
                pairs_of = [
                    f'iifname "{POD_LINKS}" udp dport 53 meter pairs{family.value} '
                    f"{{ {name} saddr . udp sport limit rate over 1/second burst 1 packets }} drop"
                    for family, name in _NAMES
                ]
                return [("pairs", "type filter hook prerouting priority -150; policy accept;", *pairs_of)]
        return []

    def _own(self) -> list[str]:
        """Matches of what a pod sends to itself through a Service, and of the replies."""
        return [
            f"ct original {name} saddr . ct reply {name} saddr {{ {pairs(addresses)} }} "
            for family, name in _NAMES
            if (addresses := _of(self.pods, family))
        ]


NO_SERVICES = ServicePath()


def _of(addresses: Sequence[IPAddress], family: Family) -> list[IPAddress]:
    return [address for address in addresses if address.version == family]
