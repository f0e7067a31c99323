"""Who reaches a pod from outside, and by which objects: what policies make of it, and what is not known."""

import pytest

from auditor.model.verdict import Verdict
from auditor.parsing.manifests import read_snapshot
from auditor.parsing.source import Source
from auditor.run.ways_in import ways_in

BASE = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: prod}}
- {apiVersion: v1, kind: Namespace, metadata: {name: edge}}
- apiVersion: v1
  kind: Pod
  metadata: {name: nginx, namespace: edge, labels: {app.kubernetes.io/name: ingress-nginx,
    app.kubernetes.io/component: controller}}
- apiVersion: v1
  kind: Pod
  metadata: {name: webhook, namespace: edge, labels: {app.kubernetes.io/name: ingress-nginx}}
- {apiVersion: v1, kind: Pod, metadata: {name: gate, namespace: edge,
    labels: {gateway.networking.k8s.io/gateway-name: gate}}}
- apiVersion: v1
  kind: Pod
  metadata: {name: web, namespace: prod, labels: {app: web}}
  spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: prod}
  spec: {selector: {app: web}, ports: [{name: front, port: 80, targetPort: http}]}
- {apiVersion: v1, kind: Service, metadata: {name: nobody, namespace: prod},
   spec: {selector: {app: none}, ports: [{port: 80}]}}
"""
GATEWAYS = "gateway.networking.k8s.io/v1"


def policy(spec, namespace="prod", name="p"):
    return f"""
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


def ingress(backend="{service: {name: web, port: {number: 80}}}", of_class="ingressClassName: nginx,"):
    return f"""
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {{name: shop, namespace: prod}}
spec: {{{of_class} rules: [{{host: shop.example, http: {{paths: [{{path: /, backend: {backend}}}]}}}}]}}
"""


def ingress_class(name="nginx", controller="k8s.io/ingress-nginx", default="false"):
    return f"""
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {{name: {name}, annotations: {{ingressclass.kubernetes.io/is-default-class: "{default}"}}}}
spec: {{controller: {controller}}}
"""


def listener(name="http", open_to="All", protocol="HTTP", port=80, more=""):
    allowed = f"allowedRoutes: {{namespaces: {{from: {open_to}}}}}"
    return f"{{name: {name}, port: {port}, protocol: {protocol}, {more or allowed}}}"


def listening(*listeners, namespace="edge"):
    return f"""
---
apiVersion: {GATEWAYS}
kind: Gateway
metadata: {{name: gate, namespace: {namespace}}}
spec: {{gatewayClassName: some, listeners: [{", ".join(listeners)}]}}
"""


def gateway(name="gate", open_to="", namespace="edge", protocol="HTTP"):
    allowed = f", allowedRoutes: {{namespaces: {{from: {open_to}}}}}" if open_to else ""
    return f"""
---
apiVersion: {GATEWAYS}
kind: Gateway
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{gatewayClassName: some, listeners: [{{name: http, port: 80, protocol: {protocol}{allowed}}}]}}
"""


def route(
    kind="HTTPRoute",
    namespace="prod",
    parents="[{name: gate, namespace: edge}]",
    backend="{name: web, port: 80}",
    hosts="",
):
    return f"""
---
apiVersion: {GATEWAYS}
kind: {kind}
metadata: {{name: shop, namespace: {namespace}}}
spec: {{parentRefs: {parents}, {hosts and f"hostnames: {hosts}, "}rules: [{{backendRefs: [{backend}]}}]}}
"""


def grant(kind="HTTPRoute", source="edge", name=""):
    named = f", name: {name}" if name else ""
    return f"""
---
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {{name: g, namespace: prod}}
spec:
  from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: {source}}}]
  to: [{{group: "", kind: Service{named}}}]
"""


FROM_EDGE = policy(
    "{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: edge}}, "
    "podSelector: {matchLabels: {app.kubernetes.io/name: ingress-nginx}}}], ports: [{port: 8080}]}]}"
)
SHUT = policy("{podSelector: {}, policyTypes: [Ingress]}")
MUTE = policy("{podSelector: {}, policyTypes: [Egress]}", "edge")


def found(*texts, pods=None):
    return ways_in(read_snapshot([Source("a.yaml", "".join((BASE, *texts)).encode())]), pods)


def only(*texts):
    (way,) = found(*texts).ways
    return way.word, way.by, way.doubt


@pytest.mark.parametrize(
    ("policies", "word"),
    [((), "allowed"), ((FROM_EDGE,), "allowed"), ((SHUT,), "denied"), ((FROM_EDGE, MUTE), "denied")],
)
def test_the_pods_of_an_ingress_controller_open_what_policies_judge(policies, word):
    assert only(ingress(), ingress_class(), *policies) == (word, ("edge/nginx",), "")


@pytest.mark.parametrize(
    "texts",
    [
        (ingress(),),
        (ingress(of_class=""), ingress_class("other", default="true")),
        (ingress("{service: {name: web, port: {name: front}}}"), ingress_class()),
    ],
)
def test_the_class_is_the_one_that_is_named_or_the_default_one_and_ports_may_be_named(texts):
    way = found(*texts).ways[0]
    assert (way.pod, way.port, way.by, way.service) == ("prod/web", 8080, ("edge/nginx",), "service/prod/web")


@pytest.mark.parametrize(
    ("texts", "doubt"),
    [
        ((ingress(of_class=""),), "it has no ingressClassName"),
        ((ingress(of_class="ingressClassName: alb,"),), "IngressClass alb is not in the input"),
        ((ingress(), ingress_class(controller="ingress.k8s.aws/alb")), "not known of controller ingress.k8s.aws/alb"),
        ((ingress(), ingress_class(controller="traefik.io/ingress-controller")), "no pod of the input has the labels"),
    ],
)
def test_where_nobody_knows_the_controller_only_what_holds_for_everybody_is_certain(texts, doubt):
    word, by, said = only(*texts, FROM_EDGE)
    assert (word, by) == ("in doubt", ())
    assert doubt in said
    assert only(*texts) == ("allowed", (), "")
    assert only(*texts, SHUT) == ("denied", (), "")


def test_a_controller_connects_to_the_target_ports_of_headless_services_too():
    headless = """
---
apiVersion: v1
kind: Service
metadata: {name: own, namespace: prod}
spec: {clusterIP: None, selector: {app: web}, ports: [{name: front, port: 80, targetPort: http}]}
"""
    for port in ("number: 80", "name: front"):
        (way,) = found(ingress(f"{{service: {{name: own, port: {{{port}}}}}}}"), headless).ways
        assert (way.pod, way.port) == ("prod/web", 8080)
    dead = found(ingress("{service: {name: own, port: {number: 8080}}}"), headless).dead_ends
    assert "service/prod/own sends TCP/8080 to no pod" in dead[0]


def test_a_controller_in_its_nodes_network_is_in_doubt_and_so_is_what_one_of_two_may_do():
    there = """
---
apiVersion: v1
kind: Pod
metadata: {name: nginx-2, namespace: MINE, labels: {app.kubernetes.io/name: ingress-nginx,
  app.kubernetes.io/component: controller}}
spec: {hostNetwork: HOST, containers: [{name: c}]}
"""
    of_node = there.replace("MINE", "edge").replace("HOST", "true")
    assert only(ingress(), of_node, FROM_EDGE)[0] == "in doubt"
    elsewhere = there.replace("MINE", "prod").replace("HOST", "false")
    word, by, doubt = only(ingress(), elsewhere, FROM_EDGE)
    assert (word, set(by), doubt) == (
        "in doubt",
        {"edge/nginx", "prod/nginx-2"},
        "policies let some of the controller's pods through alone",
    )


@pytest.mark.parametrize(
    ("kind", "protocol"),
    [
        ("HTTPRoute", "HTTP"),
        ("GRPCRoute", "HTTPS"),
        ("TLSRoute", "TLS"),
        ("TCPRoute", "TCP"),
        ("TCPRoute", "x.io/quic"),
    ],
)
def test_a_route_comes_by_the_pods_of_its_gateway(kind, protocol):
    there = gateway(open_to="All", protocol=protocol)
    assert only(route(kind), there) == ("allowed", ("edge/gate",), "")
    assert only(route(kind), there, FROM_EDGE) == ("denied", ("edge/gate",), "")


AT = "[{{name: gate, namespace: edge, {}}}]"
HOST = 'hostname: "{}", allowedRoutes: {{namespaces: {{from: All}}}}'


@pytest.mark.parametrize(
    ("texts", "doubt"),
    [
        (
            (route(parents=AT.format("sectionName: own")), listening(listener(), listener("own", "Same", port=81))),
            "takes none of routes in other namespaces",
        ),
        ((route(parents=AT.format("port: 81")), listening(listener())), "has no such listener as on port 81"),
        ((route(parents=AT.format("sectionName: gone")), listening(listener())), "has no such listener as gone"),
        ((route(), listening()), "has no such listener"),
        (
            (route(), listening(listener("none", "None"), listener("tcp", protocol="TCP"))),
            "takes none of routes in other namespaces",
        ),
        ((route(), listening(listener(protocol="TLS"))), "has no listener for routes of kind HTTPRoute"),
        (
            (route(), listening(listener(more="allowedRoutes: {kinds: [{kind: GRPCRoute}], namespaces: {from: All}}"))),
            "has no listener for routes of kind HTTPRoute",
        ),
        (
            (route(hosts="[shop.example]"), listening(listener(more=HOST.format("*.shop.example")))),
            "has no listener for its hostnames",
        ),
    ],
)
def test_the_listeners_of_a_gateway_say_what_it_takes(texts, doubt):
    assert only(*texts) == ("in doubt", ("edge/gate",), f"Gateway edge/gate {doubt}")


@pytest.mark.parametrize(
    ("hosts", "host"),
    [
        ('[other.test, "A.shop.example"]', "a.shop.example"),
        ("[a.b.shop.example]", "*.shop.example"),
        ('["*.example"]', "shop.example"),
        ('["*.shop.example"]', "*.example"),
        ("", "shop.example"),
        ("[shop.example]", ""),
    ],
)
def test_hostnames_may_stand_for_several(hosts, host):
    assert only(route(hosts=hosts), listening(listener(more=HOST.format(host)))) == ("allowed", ("edge/gate",), "")


def test_by_a_gateway_that_does_not_take_it_nothing_comes():
    both = "[{name: gate, namespace: edge}, {name: other, namespace: edge}]"
    pod = "{name: other, namespace: edge, labels: {gateway.networking.k8s.io/gateway-name: other}}"
    texts = (route(parents=both), gateway(open_to="All"), f"\n---\n{{apiVersion: v1, kind: Pod, metadata: {pod}}}\n")
    assert only(*texts, gateway("other"))[1] == ("edge/gate",)
    assert only(*texts, gateway("other", "Selector"))[1] == ("edge/gate", "edge/other")


@pytest.mark.parametrize(
    ("texts", "doubt"),
    [
        ((route(),), "Gateway edge/gate is not in the input"),
        ((route(), gateway()), "Gateway edge/gate takes none of routes in other namespaces"),
        ((route(), gateway(open_to="Selector")), "Gateway edge/gate chooses by labels of routes in other namespaces"),
        ((route(parents="[{kind: Service, name: web}]"),), "it asks no Gateway to take it, but Service prod/web"),
        ((route(parents="[]"),), "it asks no Gateway to take it"),
    ],
)
def test_a_route_that_no_gateway_is_sure_to_take_is_in_doubt_unless_nobody_at_all_may_come(texts, doubt):
    word, _, said = only(*texts)
    assert word == "in doubt"
    assert said == doubt
    assert only(*texts, SHUT)[0] == "denied"


def test_a_route_leads_to_another_namespace_by_a_reference_grant_alone():
    far = route(namespace="edge", backend="{name: web, namespace: prod, port: 80}", parents="[{name: gate}]")
    assert only(far, gateway(), grant()) == ("allowed", ("edge/gate",), "")
    assert only(far, gateway(), grant(name="web"))[0] == "allowed"
    of_another_group = grant().replace("from: [{group: gateway.networking.k8s.io", "from: [{group: example.com")
    for other in ("", grant("TCPRoute"), grant(source="prod"), grant(name="other"), of_another_group):
        (said,) = found(far, gateway(), other).dead_ends
        assert said.startswith("HTTPRoute edge/shop leads nowhere: no ReferenceGrant lets it lead to service/prod/web,")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (ingress("{service: {name: gone, port: {number: 80}}}"), "there is no Service prod/gone in the input"),
        (ingress("{service: {name: web, port: {number: 81}}}"), "service/prod/web sends TCP/81 to no pod"),
        (ingress("{service: {name: nobody, port: {number: 80}}}"), "service/prod/nobody sends TCP/80 to no pod"),
        (ingress("{service: {name: web}}"), "it names no port of service/prod/web"),
        (ingress("{service: {name: web, port: {number: true}}}"), "it names no port of service/prod/web"),
        (
            ingress("{service: {name: ext, port: {number: 80}}}")
            + "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: ext, namespace: prod}\n"
            "spec: {type: ExternalName, externalName: example.com}\n",
            "service/prod/ext is an ExternalName",
        ),
        (ingress("{resource: {kind: StorageBucket, name: b}}"), "its backend is StorageBucket prod/b, which is not a"),
    ],
)
def test_what_leads_nowhere_is_said_unless_pods_are_asked_for(text, why):
    entry = found(text)
    assert not entry.ways
    assert why in entry.dead_ends[0]
    assert not found(text, pods=["prod/web"]).dead_ends


def test_where_one_backend_of_several_leads_nowhere_the_others_do_lead_in():
    dead = "{path: /a, backend: {service: {name: gone, port: {number: 80}}}}"
    entry = found(ingress().replace("paths: [", f"paths: [{dead}, "))
    assert [way.pod for way in entry.ways] == ["prod/web"]
    assert entry.dead_ends == (
        "one backend of Ingress prod/shop leads nowhere: there is no Service prod/gone in the input",
    )


MIRROR = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: web, port: 80}}}]"


@pytest.mark.parametrize(
    "backend", [f"{{name: nobody, port: 80, {MIRROR}}}", f"{{name: nobody, port: 80}}], {MIRROR}, x: ["]
)
def test_what_a_route_mirrors_comes_in_too(backend):
    (way,) = found(route(backend=backend), gateway(open_to="All")).ways
    assert (way.pod, way.port) == ("prod/web", 8080)


@pytest.mark.parametrize(
    "spec",
    ["5", "[]", "{rules: 5}", "{rules: [5, {http: 5}, {http: {paths: [5, {backend: 5}]}}]}", "{parentRefs: [5]}"],
)
def test_what_is_broken_leads_nowhere_and_breaks_nothing(spec):
    broken = "".join(
        f"\n---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: prod}}\nspec: {spec}\n"
        for version, kind in (
            ("networking.k8s.io/v1", "Ingress"),
            ("networking.k8s.io/v1", "IngressClass"),
            *((GATEWAYS, kind) for kind in ("HTTPRoute", "Gateway", "GatewayClass", "ReferenceGrant")),
        )
    )
    assert not found(broken).ways


def test_only_ways_to_the_pods_that_are_asked_for_are_given():
    assert [way.pod for way in found(ingress(), pods=["prod/web"]).ways] == ["prod/web"]
    assert not found(ingress(), pods=["edge/gate"]).ways
    assert found(ingress()).ways[0].verdict is Verdict.ALLOWED


def test_what_is_denied_to_one_gateway_may_be_open_to_another_that_is_not_known():
    both = "[{name: gate, namespace: edge}, {name: other, namespace: edge}]"
    known = (route(parents=both), gateway(open_to="All"))
    assert only(*known)[0] == "allowed"
    word, by, doubt = only(*known, FROM_EDGE)
    assert (word, by, doubt) == ("in doubt", ("edge/gate",), "Gateway edge/other is not in the input")


@pytest.mark.parametrize("version", ["networking.k8s.io/v1beta1", "extensions/v1beta1"])
@pytest.mark.parametrize("port", ["80", "front"])
def test_an_ingress_of_an_older_version_leads_where_it_says(version, port):
    backend = f"{{serviceName: web, servicePort: {port}}}"
    older = ingress(backend).replace("networking.k8s.io/v1\n", f"{version}\n")
    default = f"""
---
apiVersion: {version}
kind: Ingress
metadata: {{name: all, namespace: prod}}
spec: {{backend: {backend}}}
"""
    found = ways_in(read_snapshot([Source("f.yaml", (BASE + older + default + ingress_class()).encode())]))
    assert [(each.route.name, each.pod, each.port) for each in found.ways] == [
        ("shop", "prod/web", 8080),
        ("all", "prod/web", 8080),
    ]
    assert not found.dead_ends
