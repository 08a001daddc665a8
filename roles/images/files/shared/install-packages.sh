#!/bin/sh
# Installs Debian packages, in two steps where the mirror is an https one that only a CA bundle vouches for: the bundle is
# known to a stage that is not shipped, which downloads, and the shipped stage installs without it.
# usage: install-packages.sh download|install <package>...
set -eu

step=$1
shift
# The directory is always there: a COPY of nothing would fail.
mkdir -p /packages

if [ "$step" = download ]; then
    if [ -s /build/ca-bundle.pem ] &&
        grep -rqsE '^[^#]*https://' /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/mirrors; then
        set -- -o Acquire::https::CAInfo=/build/ca-bundle.pem -o Dir::Cache::archives=/packages "$@"
        mkdir -p /packages/partial
        apt-get -o Acquire::https::CAInfo=/build/ca-bundle.pem update --error-on=any
        apt-get install -y --no-install-recommends --download-only -o APT::Keep-Downloaded-Packages=true "$@"
        rm -rf /packages/partial /packages/lock
    fi
    exit
fi

export DEBIAN_FRONTEND=noninteractive
if ls /packages/*.deb >/dev/null 2>&1; then
    apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold /packages/*.deb
else
    apt-get update
    apt-get install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
fi
rm -rf /packages /var/lib/apt/lists/* /var/cache/apt/* /var/log/*
