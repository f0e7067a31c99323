"""A plain second opinion on who reaches whom, sent from inside the real pods and without anything of the project.

A port on which nothing listens tells as well: a reset or an ICMP error says that the packet arrived, silence that it
was dropped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from auditor.model.ports import Protocol
from auditor.model.snapshot import Endpoint, Family
from auditor.model.verdict import Cell
from tests.e2e.kubectl import Kubectl

PROBE = """
import json, select, socket, sys
targets, timeout = json.loads(sys.argv[1]), float(sys.argv[2])
arrived, waiting = [False] * len(targets), {}
poll = select.epoll()
for number, (protocol, address, port) in enumerate(targets):
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if protocol == 'TCP' else socket.SOCK_DGRAM)
    one.setblocking(False)
    one.connect_ex((address, port))
    if protocol == 'UDP':
        one.send(b'hello')
    waiting[one.fileno()] = (number, one)
    poll.register(one.fileno(), select.EPOLLIN | (select.EPOLLOUT if protocol == 'TCP' else 0))
while waiting and (ready := poll.poll(timeout)):
    for descriptor, _ in ready:
        number, one = waiting.pop(descriptor)
        arrived[number] = True
        one.close()
print(json.dumps(arrived))
"""


def arrivals(
    kubectl: Kubectl, pods: Sequence[Endpoint], ports: Sequence[tuple[Protocol, int]], timeout: float = 1.0
) -> dict[Cell, bool]:
    """For every pair of different ``pods`` and each port: whether a packet got there and its answer came back."""

    def from_one(source: Endpoint) -> dict[Cell, bool]:
        cells = [
            Cell(source.name, destination.name, protocol, port, Family.IPV4)
            for destination in pods
            if destination is not source
            for protocol, port in ports
        ]
        addresses = {pod.name: str(pod.address(Family.IPV4)) for pod in pods}
        targets = [[cell.protocol, addresses[cell.destination], cell.port] for cell in cells]
        namespace, name = source.name.split("/")
        output = kubectl.run(
            "exec", "-n", namespace, name, "--", "python3", "-c", PROBE, json.dumps(targets), str(timeout)
        )
        return dict(zip(cells, json.loads(output), strict=True))

    with ThreadPoolExecutor(8) as executor:
        return {cell: arrived for found in executor.map(from_one, pods) for cell, arrived in found.items()}
