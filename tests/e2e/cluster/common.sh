# shellcheck shell=bash
# What every script here shares: the pinned versions, where things are kept, and how a person is told what is missing.
# Sourced, never run; the sourcing script sets -euo pipefail.
# shellcheck disable=SC2034 # the names are read by the scripts that source this one

KIND_VERSION=0.33.0
KUBERNETES_VERSION=1.36.1
ETCD_VERSION=3.6.13
COREDNS_VERSION=1.14.6
FLANNEL_VERSION=0.28.4
FLANNEL_PLUGIN_VERSION=0.9.1 # of github.com/containernetworking/plugins: the last release that had the flannel plugin
KUBE_ROUTER_VERSION=2.1.0 # of github.com/cloudnativelabs/kube-router/v2: a third party's enforcer
GO_MINOR=26
DEBIAN=bookworm
NODE_IMAGE=kindest/node:v$KUBERNETES_VERSION-debian
PUBLISHED_PYTHON=python:3.11-slim
PROBE_IMAGE=audit-e2e/python:3
AGENT_IMAGE=audit-e2e/node-agent:1 # what can program a node's packet filter: nft, ip, nsenter and Python
FROM_HERE='comes with the node image made here: make kind-node-image, then E2E_ENGINE=private' # what is said where a registry serves

HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
CACHE=$(realpath -m "${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netpol-audit}")
CLUSTER=${E2E_CLUSTER:-audit-e2e}
OWN='' # clusters of different names live side by side, each with folders of its own
[ "$CLUSTER" = audit-e2e ] || OWN=-$CLUSTER
BIN=$CACHE/bin                # programmes built from Go modules
DEBIAN_TREES=$CACHE/debian    # root file systems as debootstrap leaves them
IMAGES=$CACHE/images          # docker archives
NODE=$CACHE/node              # root file system of the node image
STATE=$CACHE/cluster$OWN      # what exists only while a cluster does: kubeconfig, the private Docker's socket and pid
readonly AUDIT_IMAGE=netpol-audit:e2e # the auditor, as the Containerfile describes it; it is no part of the node image and its recipe
DOCKER_DATA=$CACHE/docker$OWN # the private Docker's images, kept from one cluster to the next

# Runs a command as the first process of a pid namespace: whatever it starts and forgets ends with it, also by kill -9 of unshare.
ALONE=(unshare --mount --pid --fork --kill-child --mount-proc --)

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$*"
    exit 4
}

# Whether kube-router is built, in the version that is wanted.
has_kube_router() { [ -x "$BIN/kube-router" ] && [ "$(cat "$BIN/.kube-router" 2>/dev/null)" = $KUBE_ROUTER_VERSION ]; }

need_root() { [ "$(id -u)" -eq 0 ] || fail "$1 needs root; run it as root, or where Docker and a registry are at hand, without it"; }

# need COMMAND:PACKAGE[,PACKAGE]...: installs the Debian packages of the commands that are missing, or says how to.
# No service is started by it: the only Docker daemon wanted is the one in the private namespace.
need() {
    local pair packages missing=() policy=/usr/sbin/policy-rc.d ours='' code=0
    for pair in "$@"; do
        if command -v "${pair%%:*}" >/dev/null; then continue; fi
        IFS=, read -ra packages <<<"${pair#*:}"
        missing+=("${packages[@]}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "missing ${missing[*]}; install with: sudo apt-get install ${missing[*]}"
    fi
    mkdir -p "$CACHE"
    say "installing ${missing[*]}"
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        ours=1
    fi
    {
        apt-get update -qq &&
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    } >"$CACHE/apt.log" 2>&1 || code=$?
    [ -z "$ours" ] || rm -f $policy
    [ $code -eq 0 ] || fail "apt-get could not install ${missing[*]}; its output is in $CACHE/apt.log"
}

# The private Docker's first process as the machine sees it, or nothing when it does not run.
engine_pid() { running "$STATE/engine.pid"; }

# running FILE: the process that record has written there, or nothing when it has ended. The start time tells it from a reused pid.
running() {
    local pid started
    [ -f "$1" ] || return 0
    read -r pid started <"$1" || true
    if [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]; then echo "$pid"; fi
}

record() { echo "$2 $(start_time "$2")" >"$1"; } # record FILE PID

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 || true; }

# claim_name MAKER: takes the cluster's name for a process without which what is made under it is nobody's. What nobody can use any more
# is ended: its private Docker is gone (killed, or the machine was started anew), or what made it or tested on it was killed. Any other
# cluster of that name is left alone, and that is said.
claim_name() {
    [ ! -d "$STATE" ] || clear_leftover
    mkdir -p "$CACHE"
    mkdir "$STATE"
    record "$STATE/maker" "$1"
}

clear_leftover() {
    local maker
    maker=$(running "$STATE/maker")
    [ -z "$maker" ] || fail "the cluster $CLUSTER is in use by process $maker; wait for its end, or take another name with E2E_CLUSTER"
    if [ ! -f "$STATE/maker" ] && { [ "$(cat "$STATE/engine")" = host ] || [ -n "$(engine_pid)" ]; }; then
        fail "there is a cluster $CLUSTER already; end it with: ${OWN:+E2E_CLUSTER=$CLUSTER }make cluster-down"
    fi
    say "what is left of a cluster $CLUSTER that was killed is cleared up first"
    "$HERE/down"
}

# The E2E_ENGINE asked for, or what this machine offers: host (its own Docker) or private.
choose_engine() {
    case ${E2E_ENGINE:-} in
    host | private) echo "$E2E_ENGINE" ;;
    '') if [ ! -f "$NODE.recipe" ] && registry_answers; then echo host; else echo private; fi ;;
    *) fail "E2E_ENGINE is $E2E_ENGINE; it must be host or private" ;;
    esac
}

# Whether this machine's Docker runs and has, or can pull, an image that every cluster needs.
registry_answers() {
    docker info && { docker image inspect $PUBLISHED_PYTHON || timeout 120 docker pull --quiet $PUBLISHED_PYTHON; }
} >/dev/null 2>&1
