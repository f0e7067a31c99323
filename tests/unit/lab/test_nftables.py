"""The text of rulesets."""

from ipaddress import ip_address

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.dialects import BEHAVIOURS, EnforcerBehaviour
from auditor.cluster.lab.nftables import Flakiness, node_ruleset, pod_ruleset
from auditor.cluster.lab.policing import Allowance
from auditor.model.dialect import Dialect
from auditor.model.ports import Protocol

TCP, UDP, SCTP = Protocol
SPEC = EnforcerBehaviour()
TWO = AddressSet.of([ip_address("10.0.0.1"), ip_address("10.0.0.2"), ip_address("10.0.0.9"), ip_address("fd00::1")])


def lines(text):
    return text.splitlines()


def test_the_whole_table_is_replaced_in_one_transaction():
    assert node_ruleset(SPEC, 7, {"pod0": ((), None)}) == (
        "table inet audit\ndelete table inet audit\ntable inet audit {\n"
        "chain police0 {\ncounter drop\n}\n"
        "chain forward {\ntype filter hook forward priority filter; policy accept;\n"
        "ct state established,related ct mark 7 accept\n"
        'oifname vmap { "pod0" : jump police0 }\n'
        "ct direction original ct mark set 7\n}\n}\n"
    )


def test_a_rule_matches_addresses_of_each_family_and_ports_of_each_protocol():
    ports = ((TCP, 80, 80), (TCP, 90, 99), (UDP, 53, 53), (SCTP, 0, 65535))
    text = lines(node_ruleset(SPEC, 1, {"pod0": ((Allowance(TWO, ports),), None)}))
    assert "elements = { 10.0.0.1-10.0.0.2, 10.0.0.9 }" in text
    assert "ip saddr @addresses0 tcp dport { 80, 90-99 } return" in text
    assert "ip saddr @addresses0 udp dport 53 return" in text
    assert "ip saddr @addresses0 meta l4proto sctp return" in text
    assert "ip6 saddr fd00::1 udp dport 53 return" in text


def test_egress_matches_the_destination():
    text = lines(node_ruleset(SPEC, 1, {"pod0": (None, (Allowance(TWO, None),))}))
    assert "ip daddr @addresses0 return" in text
    assert 'iifname vmap { "pod0" : jump police0 }' in text


def test_pods_that_the_same_rules_police_share_a_chain_and_others_have_none():
    same = (Allowance(None, None),)
    text = node_ruleset(SPEC, 1, {"pod0": (same, None), "pod1": (same, None), "pod2": (None, None)})
    assert 'oifname vmap { "pod0" : jump police0, "pod1" : jump police0 }' in text
    assert text.count("chain police") == 1
    assert "pod2" not in text


def test_stateless_has_no_word_on_connections():
    assert "ct " not in node_ruleset(BEHAVIOURS[Dialect.STATELESS], 1, {"pod0": ((), ())})


def test_flaky_share_of_nothing_has_no_rule_and_of_everything_covers_every_hash():
    behaviour = BEHAVIOURS[Dialect.FLAKY]
    assert "jhash" not in node_ruleset(behaviour, 1, {}, Flakiness(0.0, 1, TWO))
    assert "mod 10000 seed 0x1 <= 9999 counter drop" in node_ruleset(behaviour, 1, {}, Flakiness(1.0, 1, TWO))


def test_own_stack_of_a_pod_judges_its_own_address_or_its_node_and_nothing_else():
    own, node = AddressSet.of([ip_address("10.0.0.1")]), AddressSet.of([ip_address("172.18.0.2")])
    by_itself = pod_ruleset(BEHAVIOURS[Dialect.BLOCKS_SELF], 1, ((), None), own, node)
    by_node = pod_ruleset(BEHAVIOURS[Dialect.BLOCKS_OWN_NODE], 1, ((), None), own, node)
    assert [line for line in lines(by_itself) if "jump" in line] == ['iifname "lo" ip saddr 10.0.0.1 jump police0']
    assert [line for line in lines(by_node) if "jump" in line] == ['iifname "eth0" ip saddr 172.18.0.2 jump police0']
