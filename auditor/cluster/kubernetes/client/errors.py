"""What an API server says instead of a good answer, and what becomes of a connection to it, as errors of ours.

One place, so that lists, writes, watches and exec streams say the same thing in the same words. "May not"
(authorization) and "will not" (admission: quota, Pod Security, webhooks) come with one status code and need different
help, so they are told apart here.
"""

from __future__ import annotations

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from auditor.model.errors import ClusterError

LONGEST_TEXT = 600
READING = frozenset({"get", "list", "watch"})
# apiserver's responsewriters.forbiddenMessage: the one form in which a refused authorization is reported.
UNAUTHORIZED = re.compile(r"\bcannot \S+ (?:resource|path) ")
DENIED = re.compile(r"^admission webhook .* denied the request")


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: its path, and in words what it does there, for messages: "list pods in namespace prod".

    ``urgent``: of the requests that --qps holds back, its turn comes first.
    """

    path: str
    verb: str
    resource: str
    where: str = ""
    urgent: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource}{self.where}"


class RefusedError(Exception):
    """Any answer that isn't a good one, as it came, for those who decide whether to ask again. Never shown
    to a user.
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.headers = headers
        self.body = body


class NotFoundError(ClusterError):
    """The API server has nothing at this path (404)."""


class ForbiddenError(ClusterError):
    """The user may not do this (403)."""


class AdmissionError(ClusterError):
    """The user may do this in general, but quota, Pod Security, a webhook or a namespace's end forbids this object (403
    and others).
    """


class InvalidError(ClusterError):
    """The object breaks a rule of its kind (422)."""


class ExpiredError(ClusterError):
    """The list or watch that a token or resourceVersion belongs to is gone (410): it must be started anew."""


class ConflictError(ClusterError):
    """Something else is there already, or was changed meanwhile (409).

    ``reason`` is the Status's: AlreadyExists, or Conflict for a resourceVersion or uid that is no longer the object's.
    With ``after_lost_answer`` an earlier attempt got no answer, so that what is there may be our own doing.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.after_lost_answer = False


def refusal(place: str, question: Question, status: int, body: bytes, attempts: int = 1) -> ClusterError:
    """The error for an answer of ``status`` that isn't a good one, to the last of ``attempts``."""
    reason, said = read_status(body)
    told = said and f": {said}"
    kind: type[ClusterError] = ClusterError
    match status:
        case 403 if said and question.verb not in READING and not UNAUTHORIZED.search(said):
            kind, text = AdmissionError, f"refused to {question} (403){told}"
        case 400 | 403 | 422 if DENIED.match(said):
            kind, text = AdmissionError, f"refused to {question} ({status}){told}"
        case 401:
            text = "doesn't accept the credentials (401): log in again, or choose another --context"
        case 403:
            grant = f"grant it the verb {question.verb} on {question.resource}"
            kind, text = ForbiddenError, f"may not {question} (403): {grant}{said and f' ({said})'}"
        case 404:
            check = ": check that the context names a Kubernetes API server" if question.verb == "list" else ""
            kind, text = NotFoundError, f"can't {question} (404){told}{check}"
        case 409:
            return ConflictError(f"{place}: can't {question} (409){told}", reason)
        case 410:
            kind, text = ExpiredError, f"the list is gone, asked to {question} (410)"
        case 422:
            kind, text = InvalidError, f"can't {question}: the object is not valid (422){told}"
        case _:
            tried = f", {attempts} times" if attempts > 1 else ""
            text = f"answered {status}{tried}, asked to {question}{told or _plain(body)}"
    return kind(f"{place}: {text}")


def unreachable(place: str, question: Question, error: BaseException, limit: float | None) -> ClusterError:
    """The error for a request that got no whole answer; ``limit`` is the request timeout in seconds."""
    match error:
        case TimeoutError():
            within = "" if limit is None else f" within {limit:g} s"
            said = f"no whole answer{within}, asked to {question}: try a longer --request-timeout"
        case aiohttp.ClientConnectorCertificateError():
            said = (
                f"its certificate is not trusted: {in_words(error.certificate_error)}: check "
                "certificate-authority in the kubeconfig"
            )
        case aiohttp.ClientSSLError():
            said = (
                f"TLS failed: {in_words(error.os_error)}: check the server's address and the certificates in the "
                "kubeconfig"
            )
        case aiohttp.ClientConnectorError():
            said = (
                f"can't be reached: {in_words(error.os_error)}: check the server's address, and that the cluster is up"
            )
        case _:
            said = f"the connection failed, asked to {question}: {in_words(error)}: check that the cluster is up"
    return ClusterError(f"{place}: {said}")


def read_status(body: bytes) -> tuple[str, str]:
    """Reason and message of the Status object that an API server gives with a refusal; empty when the body is something
    else.
    """
    try:
        status: Any = json.loads(body)
    except ValueError:
        return "", ""
    if not isinstance(status, dict):
        return "", ""
    reason, message = status.get("reason"), status.get("message")
    text = " ".join(message.split())[:LONGEST_TEXT] if isinstance(message, str) else ""
    return reason if isinstance(reason, str) else "", text


def _plain(body: bytes) -> str:
    """What a kubelet says behind an API server, which is not a Status; a proxy's web page says nothing."""
    text = " ".join(body.decode(errors="replace").split())[:LONGEST_TEXT]
    return "" if not text or text[0] in "<{" else f": {text}"


def in_words(error: BaseException) -> str:
    """What ``error`` says, without numbers and names that only a programmer knows."""
    match error:
        case ssl.SSLCertVerificationError(verify_message=str(text)):
            pass
        case ssl.SSLError(reason=str(reason)):
            text = reason.replace("_", " ").lower()
        case OSError(errno=int(number)) if number > 0:
            text = os.strerror(number).lower()
        case OSError(strerror=str(said)):
            text = said
        case _:
            text = str(error) or type(error).__name__
    return " ".join(text.split())[:200]
