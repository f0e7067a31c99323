r"""The agent: one process per network namespace that answers probes there and fires probes from there.

It is one file of standard library (Python 3.8 or later) because it must run in whatever image has a Python, mounted as
a file. Listening and probing share one epoll loop in which nothing blocks, standard output included: a pod that is both
a source and a destination needs no second process, and a controller that reads slowly delays new attempts but neither
replies nor deadlines.

Wire format between controller and agent: JSON objects, one a line, of at most 16 MiB to an agent and 1 MiB from it.
Protocols are ``"tcp"`` and ``"udp"``, families 4 and 6, times seconds. MARK, 16 hex digits, stands for one agent of the
run; the controller knows for which. Commands:

``{"do": "listen", "key": 64 HEX, "identity": MARK, "addresses": [TEXT, …], "tcp": [PORT, …], "udp": [PORT, …]}``
    Listen on these ports of both families, and on no others any more; answer as ``identity``. Comes before ``probe``.
    The key of the run comes this way alone, and goes nowhere else.
    → ``{"kind": "listening", "failed": [[PROTOCOL, FAMILY, PORT, REASON], …], "foreign": [[ADDRESS, REASON], …],
    "more": BOOLEAN, "age": S or null}``, ``foreign`` having the ``addresses`` that are not this network namespace's
    own, ``age`` the seconds since the first process of this pid namespace started, in a container its own; with
    ``more``, a further such line follows.
``{"do": "probe", "batch": 8 HEX, "timeout": S, "datagrams": N, "window": N, "targets": [{"address": TEXT, "protocol":
PROTOCOL, "ports": [PORT, …], "identity": MARK or null}, …]}``
    One attempt for each port of each target, numbered from 0 in that order, at most ``window`` of them younger than
    0.15 s at once. Batches run one after another. Without an identity the listener is not one of ours: over TCP nothing
    is sent to it, the attempt counts as allowed once the handshake is complete, and the connection is closed
    gracefully; over UDP 120 meaningless bytes go there, the first thing that comes back ends the attempt, and silence
    is no statement about the network.
    A target without an identity may have a ``"lookup": NAME``: then it is a DNS server that is asked for this name,
    over TCP for its IPv4 address, over UDP for that of IPv6, too, from the same socket at once, as C libraries do. It
    is allowed once a response comes to one of these questions: from that socket, with its id and question; an error
    may leave the question out. Nothing else about it shows who sent it. The outcome is then ``answered``, or
    ``half-answered`` where one of two questions met silence, DETAIL the response's code, empty for NOERROR, and MORE
    has its ``"microseconds"`` and, where it has any, the ``"addresses"`` that it says, at most 16.
    → any number of ``{"kind": "results", "batch": …, "allowed": [ATTEMPT, MICROSECONDS, ATTEMPT, MICROSECONDS, …],
    "others": [[ATTEMPT, VERDICT, OUTCOME, DETAIL, MORE], …]}`` with VERDICT ``refused``, ``dropped``, ``misdelivered``
    or, for what says nothing about the network, ``error``; DETAIL is the MARK of whoever answered where OUTCOME is
    ``wrong-identity``. MORE is an object: ``"seen": ADDRESS`` where who answered saw the question come from another
    address than it was sent from, ``"again": N`` where so many packets had to be sent once more (an allowed attempt
    stands among the others for either, with its ``"microseconds"``), and ``"socket": [ADDRESS, PORT]``, where it was
    sent from, for a UDP attempt that was dropped. Then
    ``{"kind": "done", "batch": …, "attempts": N, "allowed": N, "slowest": S, "sent": N, "lost": N}``, ``slowest`` being
    the longest time that a token took to come back, ``sent`` the SYNs and datagrams that went out for the allowed
    attempts, and ``lost`` those of them that were sent once more, since nothing had come back.
``{"do": "arrivals", "nonces": [16 HEX, …]}``, at most 1024 of them
    → ``{"kind": "arrivals", "arrived": [[16 HEX, ADDRESS, PORT, …], …], "complete": BOOLEAN}``: which of these UDP
    probes, which any agent sent, arrived here, and from which sockets, at most four; not ``complete`` when older
    arrivals had to be forgotten.
``{"do": "lag"}``
    → ``{"kind": "lag", "seconds": S, "udp_overruns": N or null, "listen_overflows": N or null}``, all of the time since
    the last such question, or since ``listen``: the longest time for which this process had no turn though it wanted
    one, understated by 0.1 s at most; the datagrams that this network namespace threw away for want of room in a
    receive buffer, and the connections for want of room at a listener, null where the kernel doesn't tell. What was
    aimed here meanwhile may have met silence for those reasons alone.
``{"do": "resolvers"}``
    → ``{"kind": "resolvers", "servers": [ADDRESS, …], "search": [DOMAIN, …]}``: what /etc/resolv.conf says, at most
    three and 32 of them; the lists are empty where there is none.
``{"do": "quit"}``, or the end of input, ends the agent.

What can't be understood is answered with ``{"kind": "error", "message": TEXT, "batch": …}``, ``batch`` only where it is
known.

On the network, a question is always 120 bytes, ``audit? NONCE TAG ....\n``, and its answer at most as many, ``audit!
NONCE MARK ADDRESS PORT TAG\n``: NONCE is the batch followed by the attempt in 8 hex digits, MARK says who answers,
ADDRESS and PORT where the question came from. A question's TAG is the first half of HMAC-SHA256 of NONCE under the key
of the run. An answer's is the first half of SHA-256 of the other half followed by all that precedes TAG: who has a
question can't make its answer. What is not a question of this run gets no answer at all. Only the answer with the
wanted mark to this very nonce counts as a token.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import resource
import select
import socket
import struct
import sys
import time
from binascii import hexlify
from collections import deque
from hmac import compare_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Message = dict[str, Any]
    Address = tuple[str, int]
    Flight = tuple[
        socket.SocketType, bool, bytes, bytes, bytes
    ]  # socket, whether UDP; question, secret and mark, empty to connect only
    Ask = Callable[[bytes], tuple[bytes, bytes]]

ASK = b"audit? "
ANSWER = b"audit! "
TAG_LENGTH = 32
ASK_LENGTH = len("audit! NONCE___________ MARK____________ ") + 39 + 1 + 5 + 1 + TAG_LENGTH + 1
"""That of the longest answer, so that nobody gets more out of an agent than he puts in."""
PADDING = b" ".ljust(ASK_LENGTH - len(ASK) - 16 - 1 - TAG_LENGTH - 1, b".") + b"\n"
MEANINGLESS = b"-" * ASK_LENGTH
"""A datagram that asks nothing, as large as one that does: a link may lose the large ones alone."""
ANSWER_FORM = re.compile(rb"audit! ([0-9a-f]{16}) ([0-9a-f]{16}) ([0-9a-f:.]{2,39}) ([0-9]{1,5}) [0-9a-f]{32}\n\Z")
LONGEST_READ = 1024
LOOKUP = b"lookup"
"""What stands for the mark of who is to answer where that is a DNS server."""
LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\Z")
LONGEST_NAME = 253
RESPONSE_CODES = {0: "", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
ADDRESS_OF_IPV4, ADDRESS_OF_IPV6 = 1, 28
ADDRESSES = {(ADDRESS_OF_IPV4, 4): socket.AF_INET, (ADDRESS_OF_IPV6, 16): socket.AF_INET6}
"""The families of records that have addresses, by their type and length."""
LONGEST_LABEL = 63
MOST_ADDRESSES = 8
"""How many addresses of each question's answer are told."""
LONGEST_CONFIGURATION = 1 << 16
MOST_SERVERS = 3
MOST_DOMAINS = 32
"""As many as a C library takes from resolv.conf."""
HEX_8 = re.compile(r"[0-9a-f]{8}\Z")
HEX_16 = re.compile(r"[0-9a-f]{16}\Z")
HEX_64 = re.compile(r"[0-9a-f]{64}\Z")

YOUNG = 0.15
"""Seconds after which a silent attempt no longer takes a place in the window: most of the silent ones are being
dropped.
"""

BURST = 64
"""How many accepts, datagrams or launches run before others get their turn."""
CHUNK = 256
CHUNK_SECONDS = 0.1
OUTPUT_FULL = 1 << 20
MOST_IN_A_LINE = 1024
"""How many results, failures or arrivals one line has, so that it stays below 1 MiB."""
LONGEST_LINE = 16 << 20
LONGEST_WORDS = 200
MOST_BATCHES = 64
BACKLOG = 4096
MOST_ARRIVALS = 1 << 16
MOST_REPETITIONS = 1 << 12
MOST_SOCKETS = 4
MOST_WAITING = 512
WAITING_SECONDS = 10.0
TURN = 0.1
"""Seconds after which the loop comes round, with nothing to do as well: it notices so when it was not
allowed to run.
"""
RECEIVE_BUFFER = 1 << 19
"""Bytes that a UDP listener asks for; the kernel gives twice that, or what net.core.rmem_max lets it."""
RETRANSMITTED = 0.19
"""Seconds before which TCP sends nothing a second time."""
TOTAL_RETRANSMISSIONS = 100
"""Offset of tcpi_total_retrans in struct tcp_info."""
MOST_STRAY = 1024
"""How many datagrams that settle nothing are read at one go; no receive buffer has more by default."""
MOST_PARTINGS = 256
PARTING_SECONDS = 0.25

STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
DATAGRAM = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
LINGER_ZERO = struct.pack("ii", 1, 0)
SOL_SOCKET, SO_LINGER = socket.SOL_SOCKET, socket.SO_LINGER
EINPROGRESS = errno.EINPROGRESS
IN = select.EPOLLIN
EDGE_IN = select.EPOLLIN | select.EPOLLET
EDGE_BOTH = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
IP_PKTINFO = 8
IPV6_RECVPKTINFO = 49
IPV6_PKTINFO = 50

SHORTAGES = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EADDRINUSE, errno.EAGAIN}
)
"""What passes once other attempts have ended: waited out, and an error only when there is none to wait for."""

ROUTE_TROUBLES = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})
"""What a missing route says too, not only a packet that came back."""

REFUSALS_TCP = {
    errno.ECONNREFUSED: ("refused", "tcp-reset"),
    errno.ECONNRESET: ("refused", "reset-after-connect"),
    errno.EPIPE: ("refused", "reset-after-connect"),
    errno.EHOSTUNREACH: ("refused", "icmp-unreachable"),
    errno.ENETUNREACH: ("refused", "icmp-network-unreachable"),
    errno.EACCES: ("refused", "icmp-prohibited"),
    errno.EPERM: ("refused", "prohibited-locally"),
    errno.ENOPROTOOPT: ("refused", "icmp-protocol-unreachable"),
    errno.EPROTO: ("refused", "icmp-unreachable"),
    errno.ETIMEDOUT: ("dropped", "timeout"),
}
REFUSALS_UDP = dict(REFUSALS_TCP)
REFUSALS_UDP[errno.ECONNREFUSED] = ("refused", "icmp-port-unreachable")
"""Verdict and outcome for what a socket reports of an attempt that went out. Anything else is our own trouble."""


CLOSED = ("error", "connected-no-token", "closed by the other end")

ICMP_ERRORS = frozenset(
    {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.ENOPROTOOPT, errno.EPROTO}
)
"""What a UDP socket reports that anybody may have made up who saw the datagram: an answer counts more."""


class BadCommandError(ValueError):
    """A command that can't be understood; its text says why."""


def asking_with(key: bytes) -> Ask:
    """What makes of a nonce the question that has it, and the secret that its answers are made with.

    They are the halves of the nonce's HMAC-SHA256 (RFC 2104) under ``key``, which has at most 64 bytes; from states
    that are copied, as that takes half the time of hmac.digest.
    """
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key.ljust(64, b"\0")))
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key.ljust(64, b"\0")))

    def ask(nonce: bytes) -> tuple[bytes, bytes]:
        first, second = inner.copy(), outer.copy()
        first.update(nonce)
        second.update(first.digest())
        both = second.digest()
        return b"%b%b %b%b" % (ASK, nonce, hexlify(both[:16]), PADDING), both[16:]

    return ask


def answer(secret: bytes, nonce: bytes, mark: bytes, address: Address) -> bytes:
    """What the agent with this mark answers to the question with this nonce that came from this address."""
    text = b"%b%b %b %b %d " % (ANSWER, nonce, mark, address[0].encode(), address[1])
    return text + hexlify(hashlib.sha256(secret + text).digest()[:16]) + b"\n"


class Lookup:
    """The questions of one attempt at a DNS server, and which of them were answered (RFC 1035, section 4)."""

    def __init__(self, name: bytes, secret: bytes, udp: bool) -> None:
        ids = (
            [secret[:2], secret[2:4]] if secret[:2] != secret[2:4] else [secret[:2], bytes([secret[2] ^ 1, secret[3]])]
        )
        kinds = [ADDRESS_OF_IPV4, ADDRESS_OF_IPV6] if udp else [ADDRESS_OF_IPV4]
        self.waiting = {ident: name + struct.pack("!HH", kind, 1) for ident, kind in zip(ids, kinds)}  # noqa: B905 - Python 3.8 has no strict
        self.udp = udp
        self.code: str | None = None
        self.addresses: list[str] = []
        self._stream = b""

    @property
    def questions(self) -> list[bytes]:
        """What is sent, and not answered yet."""
        asked = [ident + b"\1\0\0\1\0\0\0\0\0\0" + question for ident, question in self.waiting.items()]
        return asked if self.udp else [struct.pack("!H", len(each)) + each for each in asked]

    def take(self, data: bytes) -> bool:
        """Take in what came; whether it can't be, or become, what was asked for."""
        if self.udp:
            return not self._is_response(data)
        self._stream += data
        length = int.from_bytes(self._stream[:2], "big")
        message = self._stream[2 : 2 + length]
        if len(self._stream) < 2 or len(message) < min(length, LONGEST_READ):
            return False
        return not self._is_response(message)

    def _is_response(self, message: bytes) -> bool:
        question = self.waiting.get(message[:2], b"")
        # Its bit for responses, opcode 0.
        if not question or len(message) < 12 or message[2] & 0xF8 != 0x80:
            return False
        code = message[3] & 15
        # One question: ours, whatever the case of its letters. An error may be a header and nothing else.
        is_ours = message[4:6] == b"\0\1" and message[12 : 12 + len(question)].lower() == question.lower()
        if not is_ours and not (code and message[4:] == bytes(8)):
            return False
        del self.waiting[message[:2]]
        self.code = RESPONSE_CODES.get(code, f"RCODE {code}")
        if is_ours:
            self.addresses += addresses_in(message, 12 + len(question))
        return True


def addresses_in(message: bytes, position: int) -> list[str]:
    """The addresses in the answers of a response from ``position`` on, as far as they can be read."""
    found: list[str] = []
    with contextlib.suppress(IndexError, struct.error):
        for _ in range(int.from_bytes(message[6:8], "big")):
            while 0 < message[position] <= LONGEST_LABEL:
                position += 1 + message[position]
            position += 2 if message[position] else 1  # a name ends with a pointer to the rest of it, or with nothing
            kind, of, _, length = struct.unpack_from("!HHIH", message, position)
            position += 10
            data = message[position : position + length]
            position += length
            family = ADDRESSES.get((kind, len(data)))
            if family and of == 1 and len(found) < MOST_ADDRESSES:
                found.append(socket.inet_ntop(family, data))
    return found


def name_on_wire(name: object) -> bytes:
    """A domain name as DNS has it."""
    labels = name.rstrip(".").split(".") if isinstance(name, str) and len(name) <= LONGEST_NAME else [""]
    if not all(map(LABEL.match, labels)):
        raise BadCommandError("'lookup' must be a domain name")
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def resolvers() -> Message:
    """What resolv.conf says."""
    try:
        with open("/etc/resolv.conf", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - pathlib takes long to import
            lines = [line.split() for line in file.read(LONGEST_CONFIGURATION).splitlines()]
    except OSError:
        lines = []
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    domains = [words[1:] for words in lines if words[:1] == ["search"]]
    kept = [word for word in (domains[-1] if domains else []) if len(word) <= LONGEST_NAME + 1]
    return {
        "kind": "resolvers",
        "servers": [server[:LONGEST_WORDS] for server in servers[:MOST_SERVERS]],
        "search": kept[:MOST_DOMAINS],
    }


class Output:
    """Lines on their way to the controller: kept until the stream takes them."""

    def __init__(self, fd: int, epoll: select.epoll) -> None:
        self.fd = fd
        self._epoll = epoll
        self._waiting = False
        self.buffer = bytearray()

    def line(self, message: Message) -> None:
        """Queue ``message`` and write what the stream takes now."""
        self.buffer += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Write what the stream takes; the rest when it is ready. Raises OSError when the controller is gone."""
        buffer = self.buffer
        while buffer:
            try:
                written = os.write(self.fd, buffer[:65536])
            except BlockingIOError:
                break
            del buffer[:written]
        if bool(buffer) != self._waiting:
            self._waiting = bool(buffer)
            if self._waiting:
                self._epoll.register(self.fd, select.EPOLLOUT)
            else:
                self._epoll.unregister(self.fd)


class Arrivals:
    """From which socket each UDP probe arrived, by its nonce: two generations, of which the older is forgotten when the
    younger is full.

    The same datagram may come again from somewhere else; that is kept beside, for as many as there is room.
    """

    def __init__(self) -> None:
        self.young: dict[bytes, Address] = {}
        self._old: dict[bytes, Address] = {}
        self._repeated: dict[bytes, list[Address]] = {}
        self._repetitions = 0
        self._complete = True

    def add(self, nonce: bytes, address: Address) -> None:
        """Take note of an arrival."""
        first = self.young.setdefault(nonce, address)
        if first is not address:
            if first != address:
                self._add_repetition(nonce, address)
        elif len(self.young) >= MOST_ARRIVALS // 2:
            self._complete = self._complete and not self._old
            self._old, self.young = self.young, {}

    def _add_repetition(self, nonce: bytes, address: Address) -> None:
        others = self._repeated.get(nonce, [])
        if address not in others and len(others) < MOST_SOCKETS - 1 and self._repetitions < MOST_REPETITIONS:
            self._repeated[nonce] = [*others, address]
            self._repetitions += 1

    def _sockets(self, nonce: bytes) -> list[Address]:
        firsts = [generation[nonce] for generation in (self._old, self.young) if nonce in generation]
        return (firsts + self._repeated.get(nonce, []))[:MOST_SOCKETS]

    def answer(self, nonces: list[str]) -> Message:
        """The line that says which of ``nonces`` arrived."""
        found = [(nonce, self._sockets(nonce.encode())) for nonce in nonces]
        arrived = [
            [nonce, *(part for address in sockets for part in address[:2])] for nonce, sockets in found if sockets
        ]
        return {"kind": "arrivals", "arrived": arrived, "complete": self._complete}


class Waiting:
    """An accepted connection that has not asked yet: where it comes from, what it said so far, and when it
    is given up.
    """

    def __init__(self, address: Address, asked: bytes) -> None:
        self.address = address
        self.asked = asked
        self.until = time.monotonic() + WAITING_SECONDS


class Listeners:
    """The listening half: every socket that answers probes, and the accepted connections that have not asked yet."""

    def __init__(self, epoll: select.epoll, handlers: dict[int, Callable[[], None]]) -> None:
        self._epoll = epoll
        self._handlers = handlers
        self._sockets: list[socket.SocketType] = []
        self._muted: list[socket.SocketType] = []
        self._waiting: dict[int, Waiting] = {}
        self._mark = b""
        self._ask = asking_with(os.urandom(32))
        self.arrivals = Arrivals()

    def listen(self, mark: str, ask: Ask, ports: list[tuple[str, int]]) -> list[Any]:
        """Listen on ``ports``, pairs of protocol and number, and nowhere else; the ones that failed, as the wire format
        has them.
        """
        self.close()
        self._mark = mark.encode()
        self._ask = ask
        failed = []
        for protocol, port in ports:
            for version, family, wildcard in ((4, socket.AF_INET, "0.0.0.0"), (6, socket.AF_INET6, "::")):  # noqa: S104 - a pod is reached by any of its addresses
                try:
                    self._open(protocol, family, (wildcard, port))
                except OSError as error:
                    failed.append([protocol, version, port, describe(error)])
        return failed

    def _open(self, protocol: str, family: int, address: Address) -> None:
        listener = socket.SocketType(family, STREAM if protocol == "tcp" else DATAGRAM, 0)
        try:
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if protocol == "tcp":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            else:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
                else:
                    listener.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            listener.bind(address)
            if protocol == "tcp":
                # A connection is worth accepting once it asks; then accept, read, answer and close need no wait between
                # them.
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)
                listener.listen(BACKLOG)
                handler = self._accept
            else:
                handler = self._receive
            self._epoll.register(listener.fileno(), select.EPOLLIN)
        except OSError:
            listener.close()
            raise
        self._sockets.append(listener)
        self._handlers[listener.fileno()] = lambda: handler(listener)

    def _accept(self, listener: socket.SocketType) -> None:
        # accept() would make an object of each connection and ask for its name.
        accept: Callable[[], tuple[int, Any]] = listener._accept  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        read, reply = os.read, self._reply
        for _ in range(BURST):
            try:
                fd, address = accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in SHORTAGES:
                    continue
                if not self._waiting:
                    self._epoll.unregister(listener.fileno())
                    self._muted.append(listener)
                    return
                self._forget(next(iter(self._waiting)))
                continue
            os.set_blocking(fd, False)
            try:
                asked = read(fd, ASK_LENGTH)
            except BlockingIOError:
                self._wait(fd, address)
                continue
            except OSError:
                asked = b""
            if len(asked) == ASK_LENGTH or not asked:
                reply(fd, asked, address)
            else:
                self._wait(fd, address, asked)

    def _reply(self, fd: int, asked: bytes, address: Address) -> None:
        if said := self._answer(asked, address):
            with contextlib.suppress(OSError):  # the other end may be gone already
                os.write(fd, said)
        os.close(fd)

    def _answer(self, asked: bytes, address: Address) -> bytes:
        """The answer to a question of this run; empty for anything else."""
        nonce = asked[7:23]
        question, secret = self._ask(nonce)
        return answer(secret, nonce, self._mark, address) if compare_digest(asked, question) else b""

    def _wait(self, fd: int, address: Address, asked: bytes = b"") -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._forget(next(iter(self._waiting)))
        self._waiting[fd] = Waiting(address, asked)
        self._handlers[fd] = lambda: self._read(fd)
        self._epoll.register(fd, select.EPOLLIN)

    def _read(self, fd: int) -> None:
        entry = self._waiting[fd]
        try:
            got = os.read(fd, ASK_LENGTH - len(entry.asked))
        except BlockingIOError:
            return
        except OSError:
            got = b""
        entry.asked += got
        if got and len(entry.asked) < ASK_LENGTH:
            return
        del self._waiting[fd], self._handlers[fd]
        self._reply(fd, entry.asked if got else b"", entry.address)

    def _forget(self, fd: int) -> None:
        del self._waiting[fd], self._handlers[fd]
        os.close(fd)

    def _receive(self, listener: socket.SocketType) -> None:
        receive, send, add, answer_to = listener.recvmsg, listener.sendmsg, self.arrivals.add, self._answer
        for _ in range(BURST):
            try:
                asked, ancillary, _flags, address = receive(ASK_LENGTH + 1, 64)
            except OSError:
                return
            said = answer_to(asked, address)
            if not said:
                continue
            add(asked[7:23], address)
            try:
                send((said,), [own_address(item) for item in ancillary], 0, address)
            except OSError:
                continue

    def tick(self, now: float) -> None:
        """Take up what had to wait: listeners that found no descriptor, connections that never ask."""
        for listener in self._muted:
            self._epoll.register(listener.fileno(), select.EPOLLIN)
        self._muted.clear()
        while self._waiting:
            fd = next(iter(self._waiting))
            if self._waiting[fd].until > now:
                break
            self._forget(fd)

    @property
    def busy(self) -> bool:
        """Whether ``tick`` must be called soon."""
        return bool(self._muted or self._waiting)

    def close(self) -> None:
        """Stop listening."""
        for listener in self._sockets:
            del self._handlers[listener.fileno()]
            listener.close()
        self._sockets.clear()
        self._muted.clear()
        for fd in list(self._waiting):
            self._forget(fd)


def own_address(item: tuple[int, int, bytes]) -> tuple[int, int, bytes]:
    """The ancillary item that makes an answer leave from the address that was asked, out of the one that came with the
    question.
    """
    level, kind, data = item
    if kind == IP_PKTINFO:
        return level, kind, b"\0\0\0\0" + data[4:8] + b"\0\0\0\0"
    return level, kind, data


def describe(error: OSError) -> str:
    """``EADDRINUSE: Address already in use``."""
    return "{}: {}".format(errno.errorcode.get(error.errno or 0, "error"), error.strerror)


def foreign_addresses(addresses: list[str]) -> list[list[str]]:
    """Those of ``addresses`` that a socket can't be bound to here, each with the reason."""
    foreign = []
    for address in addresses:
        try:
            with socket.socket(family_of(address), DATAGRAM) as sock:
                sock.bind((address, 0))
        except OSError as error:
            if not is_assigned(address):
                foreign.append([address, describe(error)])
    return foreign


def is_assigned(address: str) -> bool:
    """Whether the kernel lists this IPv6 address as one of this namespace: so new a one that it can't be bound to yet,
    too.
    """
    if ":" not in address:
        return False
    wanted = socket.inet_pton(socket.AF_INET6, address).hex()
    try:
        with open("/proc/self/net/if_inet6", encoding="ascii") as lines:  # noqa: PTH123 - pathlib takes long to import
            return any(line.startswith(wanted) for line in lines)
    except OSError:
        return False


class Overflows:
    """What this network namespace has thrown away for want of room, reported as growth since the last time."""

    def __init__(self) -> None:
        self._datagrams: int | None = None
        self._connections: int | None = None

    def growth(self) -> tuple[int | None, int | None]:
        """Datagrams for want of room in a receive buffer, connections for want of room at a listener; None where that
        can't be read.
        """
        before = self._datagrams, self._connections
        self._datagrams, self._connections = udp_overruns(), table_sum("netstat", "TcpExt:", ("ListenDrops",))
        return grown(before[0], self._datagrams), grown(before[1], self._connections)


def grown(before: int | None, now: int | None) -> int | None:
    """How much a counter has grown; None where it is not known."""
    return None if before is None or now is None else max(0, now - before)


def udp_overruns() -> int | None:
    """How many datagrams found a receive buffer full, of both families."""
    counted = table_sum("snmp", "Udp:", ("RcvbufErrors", "MemErrors"))
    wanted = ("Udp6RcvbufErrors", "Udp6MemErrors")
    return (
        None if counted is None else counted + sum(int(words[1]) for words in proc_net("snmp6") if words[0] in wanted)
    )


def table_sum(file: str, table: str, columns: tuple[str, ...]) -> int | None:
    """The sum of some columns, as far as they exist, of a table of /proc/self/net that has a line of names and a line
    of numbers.
    """
    lines = [words for words in proc_net(file) if words[0] == table]
    if len(lines) != 2 or columns[0] not in lines[0]:
        return None
    return sum(int(value) for name, value in zip(*lines) if name in columns)  # noqa: B905 - Python 3.8 has no strict


def proc_net(file: str) -> list[list[str]]:
    """The words of each line that has some; nothing where there is no such file."""
    try:
        with open("/proc/self/net/" + file, encoding="ascii") as lines:  # noqa: PTH123 - pathlib takes long to import
            return [words for words in map(str.split, lines) if words]
    except OSError:
        return []


class Partings:
    """Connections to other people's listeners that were closed on our side: kept a moment for theirs, so that they see
    no reset.
    """

    def __init__(self) -> None:
        self._open: deque[tuple[float, socket.SocketType]] = deque()

    def add(self, sock: socket.SocketType) -> None:
        """Say goodbye on ``sock``, which is closed soon."""
        with contextlib.suppress(OSError):  # the other end may have reset it
            sock.shutdown(socket.SHUT_WR)
        if len(self._open) >= MOST_PARTINGS:
            self._end()
        self._open.append((time.monotonic() + PARTING_SECONDS, sock))

    def tick(self, now: float) -> None:
        """Close those whose time has come."""
        while self._open and self._open[0][0] <= now:
            self._end()

    def _end(self) -> None:
        sock = self._open.popleft()[1]
        # A greeting that nobody reads would turn the close into a reset.
        with contextlib.suppress(OSError):
            sock.recv(65536)
        sock.close()

    def close(self) -> None:
        """Close all of them."""
        while self._open:
            self._end()


class Resend:
    """When a further datagram of each attempt is due, and the first attempt whose turn has not come."""

    def __init__(self, offset: float) -> None:
        self.offset = offset
        self.attempt = 0


class Batch:
    """The probing half: the attempts of one ``probe`` command.

    Attempts start in the order of their numbers and share one timeout, so every timer (leaving the window, sending the
    next datagram, giving up) is an index that moves up through the attempts.
    """

    def __init__(self, command: Message, ask: Ask, epoll: select.epoll, output: Output, partings: Partings) -> None:
        self.name = hexadecimal(command, "batch", HEX_8, 8)
        self._timeout = number(command, "timeout", 0.001, 600.0)
        datagrams = int(number(command, "datagrams", 1, 100))
        self._window = int(number(command, "window", 1, 1 << 20))
        self._targets = [target(item) for item in items(command, "targets")]
        self.attempts = sum(len(ports) for _, _, _, ports, *_ in self._targets)
        self._nonce = self.name.encode() + b"%08x"
        self._ask = ask
        self._epoll = epoll
        self._output = output
        self._partings = partings
        self._lookups: dict[int, Lookup] = {}
        self._plan = self._all_attempts()
        self._next = next(self._plan, None)
        self._started = 0
        self._starts = [0.0] * self.attempts
        self._flying: dict[int, Flight] = {}
        self._unsent: set[int] = set()
        self._partial: dict[int, bytes] = {}
        self._translated: dict[int, tuple[bytes, bytes, float]] = {}
        self._refused: dict[int, tuple[str, str]] = {}
        self._under_way = 0
        self._young = 0
        self._parked = 0
        self._expired = 0
        self._resends = [Resend(k * self._timeout / (2 * datagrams)) for k in range(1, datagrams)]
        if not any(udp for _, _, udp, *_ in self._targets):
            self._resends.clear()
        self._limit = spare_descriptors()
        self._stalled_until = 0.0
        self._eager = BURST
        self._allowed: list[int] = []
        self._others: list[list[Any]] = []
        self._chunk_due = time.monotonic() + CHUNK_SECONDS
        self._total_allowed = 0
        self._slowest = 0.0
        self._lost = 0
        self._prompt = min([RETRANSMITTED, *(resend.offset for resend in self._resends)])
        self.by_fd: dict[int, int] = {}

    def _all_attempts(self) -> Iterator[tuple[int, int, Address, bool, bytes]]:
        attempt = 0
        for family, address, udp, ports, mark, name in self._targets:
            for port in ports:
                if name:
                    self._lookups[attempt] = Lookup(name, self._ask(self._nonce % attempt)[1], udp)
                yield attempt, family, (address, port), udp, mark
                attempt += 1

    @property
    def finished(self) -> bool:
        return self._next is None and not self._under_way

    def launch(self, now: float) -> None:
        """Start attempts while the window, the descriptors and the output have room."""
        room = min(BURST, self._window - self._young, self._limit - self._under_way)
        if self._next is None or now < self._stalled_until or len(self._output.buffer) > OUTPUT_FULL:
            return
        clock, register, start, plan = time.monotonic, self._epoll.register, self._start, self._plan
        starts, flying, by_fd, ask, nonce = self._starts, self._flying, self.by_fd, self._ask, self._nonce
        for _ in range(room):
            attempt, family, address, udp, mark = self._next
            if mark is LOOKUP:
                question, secret = self._lookups[attempt].questions[0], b""
            else:
                question, secret = ask(nonce % attempt) if mark else (MEANINGLESS if udp else b"", b"")
            starts[attempt] = clock()
            try:
                sock, unsent = start(family, address, udp, question, mark)
                if mark is LOOKUP and udp:
                    self._ask_further(attempt, sock)
            except OSError as error:
                if error.errno in SHORTAGES and self._under_way:
                    self._stalled_until = now + 0.01
                    return
                self._failed_at_once(attempt, family, address, udp, error)
            else:
                fd = sock.fileno()
                if unsent:
                    self._unsent.add(attempt)
                    register(fd, EDGE_BOTH)
                else:
                    register(fd, EDGE_IN)
                flying[attempt] = (sock, udp, question, secret, mark)
                by_fd[fd] = attempt
                self._under_way += 1
                self._young += 1
            self._started = attempt + 1
            self._next = next(plan, None)
            if self._next is None:
                return

    def _start(
        self, family: int, address: Address, udp: bool, question: bytes, mark: bytes
    ) -> tuple[socket.SocketType, bool]:
        """A socket, and whether the question still has to go out once it is connected."""
        sock = socket.SocketType(family, DATAGRAM if udp else STREAM, 0)
        unsent = False
        try:
            if udp:
                sock.connect(address)
                sock.send(question)
            else:
                if mark and mark is not LOOKUP:  # closed by a reset: neither end keeps the connection in TIME_WAIT
                    sock.setsockopt(SOL_SOCKET, SO_LINGER, LINGER_ZERO)
                code = sock.connect_ex(address)
                if code != EINPROGRESS and code:
                    raise OSError(code, os.strerror(code))  # noqa: TRY301 - connect() would raise it too, and EINPROGRESS each time
                unsent = True
                # Between namespaces of one kernel the handshake is often over before connect() returns; over a wire,
                # never.
                if self._eager and question:
                    self._eager -= 1
                    sock.send(question)
                    unsent = False
                    self._eager = BURST
        except OSError as error:
            if not unsent or not isinstance(error, BlockingIOError):
                sock.close()
                raise
        return sock, unsent

    def _ask_further(self, attempt: int, sock: socket.SocketType) -> None:
        """Send the questions of a lookup behind the first."""
        for question in self._lookups[attempt].questions[1:]:
            try:
                sock.send(question)
            except OSError as error:
                # What came back to the question before: this one has not gone out.
                self._refused.setdefault(attempt, REFUSALS_UDP.get(error.errno or 0, ("error", describe(error))))
                with contextlib.suppress(OSError):
                    sock.send(question)

    def _failed_at_once(self, attempt: int, family: int, address: Address, udp: bool, error: OSError) -> None:
        verdict = (REFUSALS_UDP if udp else REFUSALS_TCP).get(error.errno or 0)
        if verdict is None or (error.errno in ROUTE_TROUBLES and not has_route(family, address)):
            verdict = ("error", describe(error))
        self._others.append([attempt, verdict[0], verdict[1], "", {}])

    def on_event(self, attempt: int, event: int) -> None:
        """Go on with an attempt whose socket has something to say."""
        sock, udp, question, secret, mark = self._flying[attempt]
        try:
            if attempt in self._unsent:
                sock.send(question)
                self._unsent.discard(attempt)
                if not question:
                    self._connected(attempt)
                    return
                if not event & IN:
                    return
            data = sock.recv(LONGEST_READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._failed(attempt, udp, error)
            return
        if not mark or (
            mark is not LOOKUP and compare_digest(data, answer(secret, question[7:23], mark, sock.getsockname()))
        ):
            self._token(attempt)
        elif mark is LOOKUP:
            self._looked_up(attempt, data)
        elif udp:
            self._other_datagrams(attempt, data)
        else:
            self._other_stream(attempt, data)

    def _token(self, attempt: int) -> None:
        self._arrived(attempt)
        self._close(attempt)
        if self._partial or self._translated or self._refused:
            self._drop_notes(attempt)

    def _looked_up(self, attempt: int, data: bytes) -> None:
        """Take in what a DNS server has sent, and what stands behind it."""
        lookup = self._lookups[attempt]
        for _ in range(MOST_STRAY):
            foreign = lookup.take(data)
            if not lookup.waiting:
                self._end_lookup(attempt, "answered")
                return
            if not lookup.udp and (foreign or not data):
                what = ("misdelivered", "foreign-answer", shown(data)) if foreign else CLOSED
                self._end(attempt, *what)
                return
            try:
                data = self._flying[attempt][0].recv(LONGEST_READ)
            except BlockingIOError:
                return
            except OSError as error:
                self._failed(attempt, lookup.udp, error)
                return

    def _end_lookup(self, attempt: int, outcome: str) -> None:
        microseconds, lookup = self._took(attempt, time.monotonic()), self._lookups[attempt]
        more: Message = {"microseconds": microseconds}
        if lookup.addresses:
            more["addresses"] = lookup.addresses
        self._others.append([attempt, "allowed", outcome, lookup.code or "", more])
        self._drop_notes(attempt)
        sock = self._release(attempt)
        if lookup.udp:
            sock.close()
        else:
            self._partings.add(sock)

    def _arrived(self, attempt: int) -> None:
        lost = self._lost
        microseconds = self._took(attempt, time.monotonic())
        if self._lost == lost:
            self._allowed += (attempt, microseconds)
        else:
            more = {"microseconds": microseconds, "again": self._lost - lost}
            self._others.append([attempt, "allowed", "token", "", more])

    def _took(self, attempt: int, when: float) -> int:
        """Take an answer that came at ``when`` into account; the microseconds until then."""
        took = when - self._starts[attempt]
        if took > self._slowest:  # noqa: PLR1730 - a call less in the hot loop
            self._slowest = took
        if took > self._prompt:
            self._lost += self._sent_again(attempt, took)
        self._total_allowed += 1
        return int(took * 1e6)

    def _sent_again(self, attempt: int, took: float) -> int:
        """How many packets of an attempt had to be followed by another, for nothing had come back."""
        sock, udp, *_ = self._flying[attempt]
        if udp:
            return sum(resend.offset < took and resend.attempt > attempt for resend in self._resends)
        with contextlib.suppress(OSError, struct.error):
            information = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TOTAL_RETRANSMISSIONS + 4)
            return int(struct.unpack_from("I", information, TOTAL_RETRANSMISSIONS)[0])
        return 0

    def _connected(self, attempt: int) -> None:
        sock = self._flying[attempt][0]
        with contextlib.suppress(OSError):  # reset since then
            if sock.getsockname() == sock.getpeername():
                self._end(attempt, "refused", "tcp-reset", "nothing listens there: the connection reached itself")
                return
        self._arrived(attempt)
        self._partings.add(self._release(attempt))

    def _release(self, attempt: int) -> socket.SocketType:
        sock = self._flying.pop(attempt)[0]
        del self.by_fd[sock.fileno()]
        self._under_way -= 1
        if attempt >= self._parked:
            self._young -= 1
        return sock

    def _close(self, attempt: int) -> None:
        self._release(attempt).close()

    def _end(self, attempt: int, verdict: str, outcome: str, detail: str = "", **more: Any) -> None:
        self._others.append([attempt, verdict, outcome, detail, more])
        self._unsent.discard(attempt)
        self._drop_notes(attempt)
        self._close(attempt)

    def _failed(self, attempt: int, udp: bool, error: OSError) -> None:
        anonymous = not self._flying[attempt][4]
        if anonymous and not udp and error.errno in (errno.ECONNRESET, errno.EPIPE):
            self._connected(attempt)  # only a connection that had come about counts as one
            return
        verdict = (REFUSALS_UDP if udp else REFUSALS_TCP).get(error.errno or 0, ("error", describe(error)))
        if udp and attempt in self._lookups:
            self._refused.setdefault(attempt, verdict)
        elif udp and not anonymous and error.errno in ICMP_ERRORS:
            self._refused.setdefault(attempt, verdict)
            self._other_datagrams(attempt)
        else:
            self._end(attempt, verdict[0], verdict[1])

    def _other_datagrams(self, attempt: int, data: bytes | None = None) -> None:
        """Judge what is not the right answer, if anything, and look for that behind it: anybody can send what isn't."""
        for _ in range(MOST_STRAY):
            if data is not None and self._is_settled_by(attempt, data):
                return
            try:
                data = self._flying[attempt][0].recv(LONGEST_READ)
            except BlockingIOError:
                return
            except OSError as error:
                self._refused.setdefault(attempt, REFUSALS_UDP.get(error.errno or 0, ("error", describe(error))))
                data = None

    def _is_settled_by(self, attempt: int, datagram: bytes) -> bool:
        sock, _, question, _, mark = self._flying[attempt]
        said = self._understood(datagram)
        if said is None:
            self._partial.setdefault(attempt, datagram)
        elif said[0] == question[7:23]:
            if said[2] == sock.getsockname()[0].encode():
                self._answered(attempt, said[1], b"")
                return True
            # By way of another address. One that comes straight may follow, and the right one counts more than
            # another's.
            if said[1] == mark or attempt not in self._translated:
                self._translated[attempt] = (said[1], said[2], time.monotonic())
        return False  # else a late answer to an earlier attempt whose port this one has

    def _understood(self, data: bytes) -> tuple[bytes, bytes, bytes] | None:
        """Nonce, mark and address of an answer by an agent of this run; None for anything else."""
        form = ANSWER_FORM.match(data)
        if form is None:
            return None
        nonce, mark, address, port = form.groups()
        right = answer(self._ask(nonce)[1], nonce, mark, (address.decode(), int(port)))
        return (nonce, mark, address) if compare_digest(data, right) else None

    def _answered(self, attempt: int, mark: bytes, seen: bytes, when: float = 0.0) -> None:
        """End an attempt that an agent of this run answered, which says that its question came from ``seen``, empty if
        as it was sent.
        """
        more = {"seen": seen.decode()} if seen else {}
        if mark != self._flying[attempt][4]:
            self._end(attempt, "misdelivered", "wrong-identity", mark.decode(), **more)
        elif seen:
            self._end(attempt, "allowed", "token", microseconds=self._took(attempt, when or time.monotonic()), **more)
        else:
            self._token(attempt)

    def _drop_notes(self, attempt: int) -> None:
        for notes in (self._partial, self._translated, self._refused, self._lookups):
            notes.pop(attempt, None)

    def _other_stream(self, attempt: int, data: bytes) -> None:
        """Judge what is not, or not yet, the right answer."""
        sock, _, question, *_ = self._flying[attempt]
        whole = self._partial.pop(attempt, b"") + data
        said = self._understood(whole)
        if said is not None and said[0] == question[7:23]:
            self._answered(attempt, said[1], b"" if said[2] == sock.getsockname()[0].encode() else said[2])
        elif said is not None:
            self._end(attempt, "misdelivered", "wrong-nonce", shown(whole))
        elif not data:
            if whole:
                self._end(attempt, "misdelivered", "foreign-answer", shown(whole))
            else:
                self._end(attempt, *CLOSED)
        elif len(whole) < ASK_LENGTH and whole[: len(ANSWER)] == ANSWER[: len(whole)] and whole[-1:] != b"\n":
            self._partial[attempt] = whole
            self.on_event(attempt, 0)
        else:
            self._end(attempt, "misdelivered", "foreign-answer", shown(whole))

    def tick(self, now: float) -> None:
        """Do what is due at ``now``, and pass results on when there are enough of them, or old enough ones."""
        starts, flying, started = self._starts, self._flying, self._started
        while self._parked < started and (self._parked not in flying or now - starts[self._parked] >= YOUNG):
            if self._parked in flying:
                self._young -= 1
            self._parked += 1
        for resend in self._resends:
            self._resend(resend, now)
        while self._expired < started and (self._expired not in flying or now - starts[self._expired] >= self._timeout):
            if self._expired in flying:
                self._expire(self._expired)
            self._expired += 1
        if len(self._allowed) + len(self._others) >= CHUNK or now >= self._chunk_due:
            self.pass_on()
            self._chunk_due = now + CHUNK_SECONDS

    def _resend(self, resend: Resend, now: float) -> None:
        attempt = resend.attempt
        while attempt < self._started and now - self._starts[attempt] >= resend.offset:
            entry = self._flying.get(attempt)
            if entry is not None and entry[1]:
                try:
                    for question in self._lookups[attempt].questions if entry[4] is LOOKUP else (entry[2],):
                        entry[0].send(question)
                except OSError as error:
                    if error.errno not in SHORTAGES:
                        self._failed(attempt, True, error)
            attempt += 1
        resend.attempt = attempt

    def _expire(self, attempt: int) -> None:
        # Whatever came while this process had no turn counts: silence is what the network did, not what the scheduler
        # did.
        self.on_event(attempt, select.EPOLLIN)
        if attempt not in self._flying:
            return
        sock, udp, *_ = self._flying[attempt]
        lookup = self._lookups.get(attempt)
        if lookup is not None and lookup.code is not None:
            self._end_lookup(attempt, "half-answered")
        elif attempt in self._translated:
            self._answered(attempt, *self._translated[attempt])
        elif attempt in self._partial:
            self._end(attempt, "misdelivered", "foreign-answer", shown(self._partial[attempt]))
        elif attempt in self._refused:
            self._end(attempt, *self._refused[attempt])
        elif udp:
            self._end(attempt, "dropped", "timeout", socket=sock.getsockname()[:2])
        elif attempt in self._unsent:
            self._end(attempt, "dropped", "timeout")
        else:
            self._end(attempt, "error", "connected-no-token", "connected, then silence")

    def wait(self, now: float) -> float:
        """Seconds until there is something to do without an event."""
        if self.finished:
            return 0.0
        may_launch = self._next is not None and now >= self._stalled_until and len(self._output.buffer) <= OUTPUT_FULL
        if may_launch and self._young < self._window and self._under_way < self._limit:
            return 0.0
        due = self._chunk_due if self._allowed or self._others else now + 1.0
        if self._next is not None and self._stalled_until > now:
            due = min(due, self._stalled_until)
        timers = [(YOUNG, self._parked), (self._timeout, self._expired)]
        timers += [(resend.offset, resend.attempt) for resend in self._resends]
        for offset, attempt in timers:
            if attempt < self._started:
                due = min(due, self._starts[attempt] + offset)
        return max(0.0, due - now)

    def abandon(self) -> None:
        """Close every socket."""
        for attempt in list(self.by_fd.values()):
            self._close(attempt)

    def pass_on(self) -> None:
        """Queue the results so far."""
        while self._allowed or self._others:
            allowed, others = self._allowed[:MOST_IN_A_LINE], self._others[:MOST_IN_A_LINE]
            self._allowed, self._others = self._allowed[MOST_IN_A_LINE:], self._others[MOST_IN_A_LINE:]
            self._output.line({"kind": "results", "batch": self.name, "allowed": allowed, "others": others})

    def done(self) -> None:
        """Queue the last results and the end of the batch."""
        self.pass_on()
        facts = {"attempts": self.attempts, "allowed": self._total_allowed, "slowest": round(self._slowest, 6)}
        loss = {"sent": self._total_allowed + self._lost, "lost": self._lost}
        self._output.line(dict(facts, kind="done", batch=self.name, **loss))


def spare_descriptors() -> int:
    """How many descriptors attempts may take, so that listeners still find some."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = limit - len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names are enough
    return max(1, free - min(256, free // 4))


def has_route(family: int, address: Address) -> bool:
    """Whether the kernel has a route to ``address``: connecting a datagram socket asks for one and sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
    except OSError:
        return False
    return True


def shown(data: bytes) -> str:
    """The beginning of an unexpected answer, printable."""
    return ascii(data[:60].decode("latin-1"))


def age_of_first_process() -> float | None:
    """Seconds since process 1 of this pid namespace started; None where that can't be told."""
    try:
        with open("/proc/1/stat", "rb") as status:  # noqa: PTH123 - as above
            ticks = int(status.read().rpartition(b") ")[2].split()[19])
        return round(max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")), 2)
    except (OSError, ValueError, IndexError):
        return None


def items(command: Message, key: str) -> list[Any]:
    """The list at ``key``. These readers raise BadCommandError, with a text for the author of the command."""
    value = command.get(key)
    if not isinstance(value, list):
        raise BadCommandError(f"{key!r} must be a list")
    return value


def number(command: Message, key: str, least: float, most: float) -> float:
    """The number at ``key``."""
    value = command.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
        raise BadCommandError(f"{key!r} must be a number from {least} to {most}")
    return value


def hexadecimal(command: Message, key: str, form: re.Pattern[str], digits: int) -> str:
    """The hexadecimal digits at ``key``."""
    value = command.get(key)
    if not isinstance(value, str) or not form.match(value):
        raise BadCommandError(f"{key!r} must be {digits} hexadecimal digits")
    return value


def texts(command: Message, key: str) -> list[str]:
    """The list of texts at ``key``."""
    values = items(command, key)
    if not all(isinstance(value, str) for value in values):
        raise BadCommandError(f"{key!r} must have texts")
    return values


def integers(command: Message, key: str, least: int, most: int) -> list[int]:
    """The list of integers at ``key``."""
    values = items(command, key)
    if not all(type(value) is int and least <= value <= most for value in values):
        raise BadCommandError(f"{key!r} must have integers from {least} to {most}")
    return values


def family_of(address: str) -> int:
    """The address family of ``address``, which must be a literal."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        socket.inet_pton(family, address)
    except (OSError, ValueError):
        raise BadCommandError(f"{address!r} is not an IP address") from None
    return family


def target(item: Message) -> tuple[int, str, bool, list[int], bytes, bytes]:
    """One target of a ``probe`` command: family, address, whether UDP, ports, the mark, empty to connect only, and the
    name to look up, empty for none.
    """
    if not isinstance(item, dict):
        raise BadCommandError("a target must be an object")
    address = item.get("address")
    if not isinstance(address, str):
        raise BadCommandError("'address' must be a text")
    if item.get("protocol") not in ("tcp", "udp"):
        raise BadCommandError("'protocol' must be tcp or udp")
    udp = item["protocol"] == "udp"
    mark = b"" if item.get("identity") is None else hexadecimal(item, "identity", HEX_16, 16).encode()
    name = b"" if item.get("lookup") is None else name_on_wire(item["lookup"])
    if mark and name:
        raise BadCommandError("who is asked to look a name up has no 'identity'")
    return family_of(address), address, udp, integers(item, "ports", 1, 65535), LOOKUP if name else mark, name


class Agent:
    """The loop that both halves share, and the commands."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        self._read_fd = read_fd
        self._epoll = select.epoll()
        self._output = Output(write_fd, self._epoll)
        self._handlers: dict[int, Callable[[], None]] = {}
        self._listeners = Listeners(self._epoll, self._handlers)
        self._input = bytearray()
        self._ask: Ask | None = None
        self._batch: Batch | None = None
        self._queue: deque[Batch] = deque()
        self._partings = Partings()
        self._turned = time.monotonic()
        self._longest_lag = 0.0
        self._overflows = Overflows()
        self._ending = False
        self._commands = {
            "listen": self._listen,
            "probe": self._probe,
            "arrivals": self._arrivals,
            "lag": self._lag,
            "resolvers": self._resolvers,
            "quit": self._quit,
        }
        self._handlers[write_fd] = self._output.flush

    def run(self) -> None:
        """Serve until told to end. Raises OSError when the controller is gone."""
        try:
            self._epoll.register(self._read_fd, select.EPOLLIN)
            self._handlers[self._read_fd] = self._receive
        except PermissionError:  # a plain file: there is nothing to wait for
            while not self._ending:
                self._receive()
        handlers, poll, clock = self._handlers, self._epoll.poll, time.monotonic
        nobody: dict[int, int] = {}
        while not self._ending:
            batch = self._batch
            by_fd = batch.by_fd if batch else nobody
            events = poll(self._plan_turn(clock()), CHUNK)
            self._note_lag(clock())
            for fd, event in events:
                attempt = by_fd.get(fd)
                if batch and attempt is not None:
                    batch.on_event(attempt, event)
                elif fd in handlers:  # not closed by an event before it
                    handlers[fd]()
            now = clock()
            if self._listeners.busy:
                self._listeners.tick(now)
            self._partings.tick(now)
            if self._batch:
                self._advance(self._batch, now)

    def _plan_turn(self, now: float) -> float:
        """Seconds to wait at most, from ``now``; coming back any later is lag."""
        self._note_lag(now)
        wait = self._wait(now)
        self._turned = now + wait
        return wait

    def _note_lag(self, now: float) -> None:
        self._longest_lag = max(self._longest_lag, now - self._turned)
        self._turned = now

    def _wait(self, now: float) -> float:
        wait = self._batch.wait(now) if self._batch else 10.0
        if self._ask is not None:
            wait = min(wait, TURN)
        return min(wait, 0.05) if self._listeners.busy else wait

    def _advance(self, batch: Batch, now: float) -> None:
        batch.tick(now)
        batch.launch(now)
        if batch.finished:
            batch.done()
            self._batch = self._queue.popleft() if self._queue else None

    def _receive(self) -> None:
        try:
            data = os.read(self._read_fd, 1 << 18)
        except BlockingIOError:
            return
        if not data:
            self._ending = True
            return
        self._input += data
        if b"\n" not in data:
            if len(self._input) > LONGEST_LINE:
                self._input.clear()
                self._output.line({"kind": "error", "message": "a line is too long"})
            return
        *lines, rest = bytes(self._input).split(b"\n")
        self._input = bytearray(rest)
        for line in lines:
            self._obey(line)

    def _obey(self, line: bytes) -> None:
        command: Message = {}
        try:
            parsed = json.loads(line.decode())
            if not isinstance(parsed, dict):
                raise BadCommandError("a command must be an object")
            command = parsed
            do = command.get("do")
            if not isinstance(do, str) or do not in self._commands:
                raise BadCommandError("'do' must be one of {}".format(", ".join(sorted(self._commands))))
            self._commands[do](command)
        except (ValueError, RecursionError) as error:
            refusal = {"kind": "error", "message": str(error)[:LONGEST_WORDS]}
            if isinstance(command.get("batch"), str):
                refusal["batch"] = command["batch"][:LONGEST_WORDS]
            self._output.line(refusal)

    def _listen(self, command: Message) -> None:
        key, mark = hexadecimal(command, "key", HEX_64, 64), hexadecimal(command, "identity", HEX_16, 16)
        ports = [(protocol, port) for protocol in ("tcp", "udp") for port in integers(command, protocol, 1, 65535)]
        foreign = foreign_addresses(texts(command, "addresses"))
        self._ask = asking_with(bytes.fromhex(key))
        failed = self._listeners.listen(mark, self._ask, ports)
        self._overflows.growth()
        self._longest_lag = 0.0
        while len(failed) > MOST_IN_A_LINE:
            self._output.line({"kind": "listening", "failed": failed[:MOST_IN_A_LINE], "foreign": [], "more": True})
            del failed[:MOST_IN_A_LINE]
        last = {"kind": "listening", "failed": failed, "foreign": foreign, "more": False}
        self._output.line({**last, "age": age_of_first_process()})

    def _probe(self, command: Message) -> None:
        if self._ask is None:
            raise BadCommandError("'probe' before 'listen'")
        if len(self._queue) >= MOST_BATCHES:
            raise BadCommandError("too many batches are waiting")
        batch = Batch(command, self._ask, self._epoll, self._output, self._partings)
        if self._batch:
            self._queue.append(batch)
        else:
            self._batch = batch

    def _arrivals(self, command: Message) -> None:
        nonces = items(command, "nonces")
        if len(nonces) > MOST_IN_A_LINE or not all(isinstance(nonce, str) and HEX_16.match(nonce) for nonce in nonces):
            raise BadCommandError(f"'nonces' must be at most {MOST_IN_A_LINE} texts of 16 hexadecimal digits")
        self._output.line(self._listeners.arrivals.answer(nonces))

    def _lag(self, _command: Message) -> None:
        self._note_lag(time.monotonic())
        overruns, overflows = self._overflows.growth()
        seconds = round(self._longest_lag, 3)
        self._output.line({"kind": "lag", "seconds": seconds, "udp_overruns": overruns, "listen_overflows": overflows})
        self._longest_lag = 0.0

    def _resolvers(self, _command: Message) -> None:
        self._output.line(resolvers())

    def _quit(self, _command: Message) -> None:
        self._ending = True

    def close(self) -> None:
        """Release every descriptor of ours."""
        self._listeners.close()
        if self._batch:
            self._batch.abandon()
        self._partings.close()
        self._epoll.close()


def serve(read_fd: int, write_fd: int) -> int:
    """Serve one controller over these two descriptors, which may be one and the same; the process's exit code."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The same file may be both ends; epoll wants a descriptor for each.
    write_fd = os.dup(write_fd)
    blocking = [(fd, os.get_blocking(fd)) for fd in (read_fd, write_fd)]
    for fd, _ in blocking:
        os.set_blocking(fd, False)
    agent = Agent(read_fd, write_fd)
    try:
        agent.run()
    except (BrokenPipeError, ConnectionResetError):
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        agent.close()
        for fd, was in blocking:
            os.set_blocking(fd, was)
        os.close(write_fd)
    return 0


if __name__ == "__main__":
    sys.exit(serve(0, 1))
