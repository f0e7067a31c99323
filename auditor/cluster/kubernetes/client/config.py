"""Where the API server is and who we are to it, found out as kubectl does.

The order: --kubeconfig, else the files of $KUBECONFIG, else ~/.kube/config and, without any of these, the service
account of the pod that we run in. Certificates, tokens and log-in plugins are left to kubernetes.aio; nothing is ever
written back to a kubeconfig.
"""

from __future__ import annotations

import logging
import os
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, incluster_config
from kubernetes.aio.config.kube_config import KubeConfigLoader

from auditor.cluster.kubernetes.client.kubeconfig import ContextConfig, read_context
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.model.errors import ClusterError, UsageError, system_reason

IN_CLUSTER = "in-cluster"


@dataclass(frozen=True, slots=True)
class Connection:
    """How to talk to one API server. ``context`` names it for people, ``headers`` go with every request."""

    configuration: Any
    context: str
    headers: tuple[tuple[str, str], ...] = ()
    options: ConnectionOptions = field(default_factory=ConnectionOptions)

    @property
    def server(self) -> str:
        return str(self.configuration.host)


async def connect(options: ConnectionOptions) -> Connection:
    """Find out how to reach the cluster; log-in plugins are run, the server itself is not asked yet.

    Raises UsageError or InputError for a configuration that is missing or wrong, ClusterError for a log-in that failed.
    """
    configuration = Configuration(connection_pool_maxsize=10)
    # kubectl accepts certificates that Python from 3.13 on finds too plain: without a key identifier, say.
    configuration.disable_strict_ssl_verification = True
    paths = _paths(options)
    context = read_context(paths, options.context)
    if context is not None:
        await _load(context, configuration)
    elif options.kubeconfig is None and os.environ.get(incluster_config.SERVICE_HOST_ENV_NAME):
        _load_in_cluster(configuration, options)
    else:
        raise UsageError(f"kubeconfig {':'.join(paths)}: no such file: name one with --kubeconfig or $KUBECONFIG")
    if not configuration.proxy:
        configuration.proxy = _proxy(configuration.host)
    # The session's own way to proxies would also send passwords of ~/.netrc.
    configuration.client_session_kwargs = {"trust_env": False}
    user = {} if context is None else context.user
    return Connection(configuration, context.name if context else IN_CLUSTER, _impersonation(options, user), options)


def context_namespace(options: ConnectionOptions) -> str:
    """The namespace of the context that ``options`` mean; ``default``, as for kubectl, where it names none.

    Raises as ``connect`` does for a kubeconfig that is wrong.
    """
    context = read_context(_paths(options), options.context)
    return (context.namespace if context else "") or "default"


def _paths(options: ConnectionOptions) -> list[str]:
    if options.kubeconfig is not None:
        return [options.kubeconfig]
    listed = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    # A user of a container may have no home, which Path makes an error of.
    return listed or [os.path.expanduser("~/.kube/config")]  # noqa: PTH111


async def _load(context: ContextConfig, configuration: Configuration) -> None:
    with _said_plainly(context.name):
        _check_data({**context.cluster, **context.user})
        user = _with_token(context.user)
        loader = KubeConfigLoader(  # type: ignore[no-untyped-call]  # the library's own lack
            {
                "current-context": context.name,
                "contexts": [{"name": context.name, "context": {"cluster": "chosen", "user": "chosen"}}],
                "clusters": [{"name": "chosen", "cluster": context.cluster}],
                "users": [{"name": "chosen", "user": user}],
            }
        )
        with _log_of_plugins() as said:
            await loader.load_and_set(configuration)  # type: ignore[no-untyped-call]  # see above
    if "exec" in user and not (hasattr(loader, "token") or getattr(loader, "cert_file", None)):
        reason = " ".join(" ".join(said).split()) or "it gave no token and no certificate"
        raise ClusterError(
            f"context {context.name}: the log-in plugin {user['exec'].get('command', '')!r} failed: {reason}"
        )


def _check_data(fields: dict[str, Any]) -> None:
    """Raise ValueError for base64 that is not valid: the library would take what it understands of it."""
    for name, text in fields.items():
        if name.endswith("-data"):
            try:
                b64decode("".join(text.split()), validate=True)
            except ValueError as error:
                raise ValueError(f"{name} is not valid base64") from error


def _with_token(user: dict[str, Any]) -> dict[str, Any]:
    """``user`` with the content of its tokenFile: the library would send the line break at its end as well."""
    if "tokenFile" not in user:
        return user
    rest = {key: value for key, value in user.items() if key != "tokenFile"}
    return {"token": Path(user["tokenFile"]).read_text(encoding="utf-8").strip(), **rest}


@contextmanager
def _log_of_plugins() -> Iterator[list[str]]:
    """What the client library logs meanwhile: it reports a plugin's failure nowhere else."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger, collector = logging.getLogger("kubernetes.aio.config.kube_config"), Collector(logging.WARNING)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(collector)
    try:
        yield said
    finally:
        logger.removeHandler(collector)
        logger.propagate = propagated


def _load_in_cluster(configuration: Configuration, options: ConnectionOptions) -> None:
    if options.context:
        raise UsageError(
            f"--context {options.context}: there is no kubeconfig, only this pod's service account, which has no "
            "contexts"
        )
    with _said_plainly(IN_CLUSTER):
        incluster_config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # the library's own lack


@contextmanager
def _said_plainly(context: str) -> Iterator[None]:
    try:
        yield
    except ConfigException as error:
        raise UsageError(f"context {context}: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise UsageError(f"context {context}: {error.filename}: {system_reason(error)}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f"context {context}: the kubeconfig's cluster or user can't be read: {' '.join(str(error).split())}"
        ) from error


def _impersonation(options: ConnectionOptions, user: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The headers of --as or, without it, of the kubeconfig's user (Authenticating page, "User impersonation")."""
    if options.impersonate:
        return (("Impersonate-User", options.impersonate),)
    headers = [("Impersonate-User", user["as"])] if user.get("as") else []
    headers += [("Impersonate-Group", str(group)) for group in user.get("as-groups") or ()]
    if user.get("as-uid"):
        headers.append(("Impersonate-Uid", str(user["as-uid"])))
    return tuple(headers)


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for ``server``, if any."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
