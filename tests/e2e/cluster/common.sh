# shellcheck shell=bash
# What every script here shares: the pinned versions, where things are kept, and how a person is told what is missing.
# Sourced, never run; the sourcing script sets -euo pipefail.
# shellcheck disable=SC2034 # the names are read by the scripts that source this one

KIND_VERSION=0.33.0
KUBERNETES_VERSION=1.36.1
ETCD_VERSION=3.6.13
COREDNS_VERSION=1.14.6
GO_MINOR=26
DEBIAN=bookworm
NODE_IMAGE=kindest/node:v$KUBERNETES_VERSION-debian
PROBE_IMAGE=audit-e2e/python:3

HERE=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
CACHE=$(realpath -m "${E2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netpol-audit}")
BIN=$CACHE/bin               # programmes built from Go modules
DEBIAN_TREES=$CACHE/debian   # root file systems as debootstrap leaves them
IMAGES=$CACHE/images         # docker archives
NODE=$CACHE/node             # root file system of the node image
STATE=$CACHE/cluster         # what exists only while a cluster does: kubeconfig, the private Docker's socket and pid
DOCKER_DATA=$CACHE/docker    # the private Docker's images, kept from one cluster to the next
CLUSTER=$(cat "$STATE/name" 2>/dev/null || echo "${E2E_CLUSTER:-audit-e2e}") # the one there is, else the one to be

say() { echo "${0##*/}: $*" >&2; }

fail() {
    say "$*"
    exit 4
}

need_root() { [ "$(id -u)" -eq 0 ] || fail "$1 needs root; run it as root, or where Docker and a registry are at hand, without it"; }

# need COMMAND:PACKAGE...: installs the Debian packages of the commands that are missing, or says how to.
# No service is started by it: the only Docker daemon wanted is the one in the private namespace.
need() {
    local pair missing=() policy=/usr/sbin/policy-rc.d ours='' code=0
    for pair in "$@"; do command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}"); done
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

# The private Docker's first process as the machine sees it, or nothing when it does not run. The start time tells it from a reused pid.
engine_pid() {
    local pid started
    [ -f "$STATE/engine.pid" ] || return 0
    read -r pid started <"$STATE/engine.pid"
    if [ "$(start_time "$pid")" = "$started" ]; then echo "$pid"; fi
}

start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 || true; }
