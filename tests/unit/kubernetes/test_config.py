from __future__ import annotations

import ssl
import stat
from dataclasses import replace

import pytest
import yaml
from kubernetes.aio.config import incluster_config

from auditor.cluster.kubernetes.client.config import connect
from auditor.cluster.kubernetes.client.kubeconfig import read_context
from auditor.cluster.kubernetes.client.options import ConnectionOptions
from auditor.cluster.kubernetes.client.retry import Turns
from auditor.cluster.kubernetes.client.server import ApiServer, Question
from auditor.model.errors import ClusterError, InputError, UsageError

NAMESPACES = Question("/api/v1/namespaces", "list", "namespaces")


def config(*names, current="", cluster=None, user=None):
    return {
        "current-context": current,
        "contexts": [
            {"name": name, "context": {"cluster": name, "user": name, "namespace": f"in-{name}"}} for name in names
        ],
        "clusters": [
            {"name": name, "cluster": {"server": f"https://{name}.example", **(cluster or {})}} for name in names
        ],
        "users": [{"name": name, "user": {"token": name} if user is None else user} for name in names],
    }


@pytest.fixture
def write(tmp_path):
    def write(value, name="config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else yaml.safe_dump(value), encoding="utf-8")
        return str(path)

    return write


async def ask(connection):
    async with ApiServer(connection, first_pause=0.01) as server:
        return await server.get(NAMESPACES)


async def test_the_current_context_is_taken_and_another_when_asked_for(write):
    path = write(config("a", "b", current="b"))
    assert (await connect(ConnectionOptions(path))).server == "https://b.example"
    assert (await connect(ConnectionOptions(path, context="a"))).server == "https://a.example"


async def test_files_of_kubeconfig_merge_and_the_first_wins(write, monkeypatch):
    first, second = (
        config("a", "b", current="b", user={"token": "first"}),
        config("b", "c", current="c", user={"token": "second"}),
    )
    paths = [write(first, "1"), "/nowhere/config", write(second, "2"), write("", "empty")]
    monkeypatch.setenv("KUBECONFIG", ":".join(paths))
    connection = await connect(ConnectionOptions())
    assert (connection.context, connection.configuration.api_key) == ("b", {"BearerToken": "Bearer first"})
    connection = await connect(ConnectionOptions(context="c"))
    assert (connection.server, connection.configuration.api_key) == (
        "https://c.example",
        {"BearerToken": "Bearer second"},
    )


async def test_without_anything_said_it_is_the_file_in_the_home_directory(write):
    write(config("a", current="a"), "home/.kube/config")
    assert (await connect(ConnectionOptions())).server == "https://a.example"


def test_paths_are_relative_to_their_own_file(write, tmp_path):
    user = {"client-certificate": "mine.crt", "client-key": "/abs/mine.key", "exec": {"command": "./login"}}
    path = write(
        config("a", current="a", cluster={"certificate-authority": "ca/ca.crt"}, user=user), "some/where/config"
    )
    context = read_context([path])
    assert context is not None
    assert context.cluster["certificate-authority"] == str(tmp_path / "some/where/ca/ca.crt")
    assert context.user["client-certificate"] == str(tmp_path / "some/where/mine.crt")
    assert context.user["client-key"] == "/abs/mine.key"
    assert context.user["exec"]["command"] == str(tmp_path / "some/where/login")
    assert context.namespace == "in-a"


async def test_a_token_file_is_read_without_its_line_break(write):
    write("from-file\n", "token")
    path = write(config("a", current="a", user={"tokenFile": "token"}))
    assert (await connect(ConnectionOptions(path))).configuration.api_key == {"BearerToken": "Bearer from-file"}


async def test_impersonation_of_the_option_beats_that_of_the_kubeconfig(write):
    path = write(config("a", current="a", user={"token": "t", "as": "eve", "as-groups": ["dev", "ops"]}))
    headers = (await connect(ConnectionOptions(path))).headers
    assert headers == (("Impersonate-User", "eve"), ("Impersonate-Group", "dev"), ("Impersonate-Group", "ops"))
    assert (await connect(ConnectionOptions(path, impersonate="bob"))).headers == (("Impersonate-User", "bob"),)


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ({}, {"context": "a"}, "has no contexts: give another one with --kubeconfig"),
        (config("a"), {}, "no current-context: name one with --context (a)"),
        (config("a", "b", current="a"), {"context": "x"}, "there is no context 'x': there is a, b"),
        (config("a", current="x"), {}, "there is no current-context 'x': there is a"),
        ({**config("a", current="a"), "clusters": []}, {}, "context 'a' names the cluster 'a', but there is none"),
        ({**config("a", current="a"), "users": None}, {}, "context 'a' names the user 'a', but there is none"),
        (
            config("a", current="a", cluster={"server": "a.example"}),
            {},
            "needs a server that starts with https:// or http://",
        ),
        (config("a", current="a", cluster={"certificate-authority": "ca"}), {}, "ca"),
        (
            config("a", current="a", user={"client-certificate-data": "%", "client-key-data": "%"}),
            {},
            "client-certificate-data is not valid base64",
        ),
        (config("a", current="a", user={"tokenFile": "gone"}), {}, "gone: no such file or directory"),
        (
            config("a", current="a", user={"exec": {"command": "x"}}),
            {},
            "the log-in plugin 'x' failed: exec: malformed request",
        ),
    ],
)
async def test_what_is_missing_is_one_line(write, value, options, words):
    with pytest.raises((UsageError, ClusterError)) as caught:
        await connect(ConnectionOptions(write(value), **options))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "config:2: not valid YAML"),
        ("- a\n", "is not a kubeconfig, which is a mapping with clusters, users and contexts"),
        ("clusters: {}\n", "clusters: must be a list, not a mapping"),
        ("clusters: []\nclusters: []\n", "config:2: clusters: the key 'clusters' is given twice"),
        ("contexts:\n- context: {}\n", "config:2: contexts[0]: needs a name"),
        (
            "users:\n- name: a\n  user: {token: 7}\n",
            "config:3: users[0].user.token: must be text, not a whole number: quote it",
        ),
        ("a: 1\n---\nb: 1\n", "a kubeconfig is one document"),
    ],
)
async def test_a_malformed_file_is_told_with_its_line(write, text, words):
    with pytest.raises(InputError) as caught:
        await connect(ConnectionOptions(write(text)))
    assert words in str(caught.value)
    assert len(caught.value.problems) == 1


async def test_a_missing_file_and_a_directory_are_told(tmp_path):
    with pytest.raises(UsageError, match="/nowhere/config: no such file"):
        await connect(ConnectionOptions("/nowhere/config"))
    with pytest.raises(UsageError, match="is a directory"):
        await connect(ConnectionOptions(str(tmp_path)))
    with pytest.raises(UsageError, match=r"home/.kube/config: no such file: name one with --kubeconfig"):
        await connect(ConnectionOptions())


async def test_a_plugin_gives_the_token_or_says_why_not(write, tmp_path):
    credential = '{"apiVersion": "v1", "kind": "ExecCredential", "status": {"token": "fresh"}}'
    plugin = tmp_path / "login"
    path = write(config("a", current="a", user={"exec": {"apiVersion": "v1", "command": "./login"}}))
    for script, said in (
        (f"echo '{credential}'", None),
        ("echo no network >&2; exit 3", "exec: process returned 3. .*no network"),
    ):
        plugin.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
        if said is None:
            assert (await connect(ConnectionOptions(path))).configuration.api_key == {"BearerToken": "Bearer fresh"}
        else:
            with pytest.raises(ClusterError, match=rf"the log-in plugin '.*/login' failed: {said}"):
                await connect(ConnectionOptions(path))


async def test_in_a_pod_it_is_the_service_account(write, monkeypatch):
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", write("pod-token", "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", write("certificate", "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    connection = await connect(ConnectionOptions())
    assert (connection.server, connection.context) == ("https://[fd00::1]:443", "in-cluster")
    assert connection.configuration.api_key == {"BearerToken": "bearer pod-token"}
    with pytest.raises(UsageError, match="which has no contexts"):
        await connect(ConnectionOptions(context="x"))
    with pytest.raises(UsageError, match="/nowhere: no such file"):
        await connect(ConnectionOptions("/nowhere"))


async def test_in_a_pod_whose_user_has_no_home_it_is_the_service_account(write, monkeypatch):
    def unknown(_user):
        raise KeyError

    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", write("pod-token", "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", write("certificate", "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert (await connect(ConnectionOptions())).context == "in-cluster"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(UsageError, match="no such file"):
        await connect(ConnectionOptions())


async def test_a_server_that_is_not_there_is_told(api, tmp_path):
    path = api.kubeconfig(tmp_path, cluster={"server": "http://127.0.0.1:1"})
    # A machine's filter may answer for a closed port, or take the connection and reset it.
    with pytest.raises(
        ClusterError,
        match=r"http://127.0.0.1:1 \(context fake\): .*(refused|reset).*: check .*that the cluster is up",
    ):
        await ask(await connect(ConnectionOptions(path)))


async def test_a_server_without_tls_is_told(api, tmp_path):
    path = api.kubeconfig(tmp_path, cluster={"server": api.url.replace("http:", "https:")})
    with pytest.raises(ClusterError, match="TLS failed: wrong version number: check"):
        await ask(await connect(ConnectionOptions(path)))


async def test_certificates_that_are_none_are_told(api, tmp_path):
    (tmp_path / "ca.crt").write_text("nonsense", encoding="utf-8")
    cluster = {"server": api.url.replace("http:", "https:"), "certificate-authority": "ca.crt"}
    with pytest.raises(ClusterError, match=r"its certificates can't be loaded: .*: correct the kubeconfig"):
        await ask(await connect(ConnectionOptions(api.kubeconfig(tmp_path, cluster=cluster))))


async def test_verification_is_off_only_where_the_kubeconfig_says_so(write):
    for cluster, mode in (({}, ssl.CERT_REQUIRED), ({"insecure-skip-tls-verify": True}, ssl.CERT_NONE)):
        connection = await connect(ConnectionOptions(write(config("a", current="a", cluster=cluster))))
        async with ApiServer(connection) as server:
            assert server._client.ssl_context.verify_mode is mode


async def test_a_proxy_of_the_environment_is_used_unless_the_server_is_exempt(write, monkeypatch):
    path = write(config("a", current="a"))
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    assert (await connect(ConnectionOptions(path))).configuration.proxy == "http://proxy.example:3128"
    monkeypatch.setenv("no_proxy", "a.example")
    assert (await connect(ConnectionOptions(path))).configuration.proxy is None


async def test_every_request_waits_for_its_turn_and_says_if_it_is_urgent(api, tmp_path, monkeypatch):
    taken = []

    async def take(_turns, *, urgent):
        taken.append(urgent)

    monkeypatch.setattr(Turns, "take", take)
    async with ApiServer(await connect(ConnectionOptions(api.kubeconfig(tmp_path), qps=7))) as server:
        assert server.qps == 7
        await server.get(NAMESPACES)
        await server.get(replace(NAMESPACES, urgent=True))
        async with server.stream(NAMESPACES, {}, silence=5):
            pass
    assert taken == [False, True, False]
    assert server.calls == 3
