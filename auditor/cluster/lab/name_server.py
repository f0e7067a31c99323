"""A name server in a pod of the lab: answers for the names that it is given, and that there is no other.

It reads questions by itself (RFC 1035), and knows nothing of the agents that ask them.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address

LONGEST = 1024
SECONDS = 2.0
"""How long a TCP connection may take to ask."""
LIFETIME = 30
KINDS = {1: 4, 28: 6}
"""The families that questions for addresses are about, by their type."""
NO_ERROR, NO_SUCH_NAME = 0, 3


def answer_names(read_fd: int, write_fd: int) -> int:
    """Read what to answer, ``{"names": {NAME: [ADDRESS, …]}, "ports": [[PROTOCOL, PORT], …]}``, in one line, say that
    it is ready, and answer until the stream ends; returns the exit status.
    """
    line = b""
    while not line.endswith(b"\n"):
        data = os.read(read_fd, 1 << 16)
        if not data:
            return 1
        line += data
    settings = json.loads(line)
    with selectors.DefaultSelector() as selector:
        for protocol, port in settings["ports"]:
            for listener in _listeners(protocol, port):
                selector.register(listener, selectors.EVENT_READ, protocol)
        selector.register(read_fd, selectors.EVENT_READ, "")
        os.write(write_fd, b"{}\n")
        while True:
            for key, _ in selector.select():
                if not key.data:
                    return 0
                _serve(key.fileobj, settings["names"])  # type: ignore[arg-type]  # sockets are all that is left


def _listeners(protocol: str, port: int) -> Sequence[socket.socket]:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    found = []
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - in a pod of the lab
        listener = socket.socket(family, kind)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        if protocol == "tcp":
            listener.listen()
        listener.setblocking(False)
        found.append(listener)
    return found


def _serve(listener: socket.socket, names: Mapping[str, Sequence[str]]) -> None:
    """Answer one question."""
    with suppress(OSError, IndexError, ValueError):
        if listener.type == socket.SOCK_DGRAM:
            asked, client = listener.recvfrom(LONGEST)
            listener.sendto(response(asked, names), client)
            return
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(SECONDS)
            asked = connection.recv(LONGEST)
            said = response(asked[2:], names)
            connection.sendall(struct.pack("!H", len(said)) + said)
            connection.recv(LONGEST)  # until the other end has read it and closes


def response(asked: bytes, names: Mapping[str, Sequence[str]]) -> bytes:
    """The answer to a message with one question. Raises IndexError or ValueError for what is not one."""
    labels, position = [], 12
    while length := asked[position]:
        labels.append(asked[position + 1 : position + 1 + length])
        position += 1 + length
    question = asked[12 : position + 5]
    if len(question) != position + 5 - 12:
        raise ValueError("a question without type or class")
    name = b".".join(labels).decode("ascii").lower()
    family = KINDS.get(int.from_bytes(question[-4:-2], "big"))
    known = [ip_address(each) for each in names.get(name, ())]
    records = [address.packed for address in known if address.version == family]
    flags = 0x8580 | (NO_ERROR if name in names else NO_SUCH_NAME)
    header = asked[:2] + struct.pack("!5H", flags, 1, len(records), 0, 0)
    answers = b"".join(
        b"\xc0\x0c" + question[-4:] + struct.pack("!IH", LIFETIME, len(record)) + record for record in records
    )
    return header + question + answers
