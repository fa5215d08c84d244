#!/usr/bin/env bash
# All figures of docs/performance.md in one command, from the root of the repository: bench/run.sh [--quick]
# Builds in release mode, installs the peer from Debian where it is missing and we may, measures, and writes the figures into the
# document. Nothing else should run on the machine meanwhile; --quick takes a few minutes, the whole about half an hour.
set -eu
cd "$(dirname "$0")/.."

if ! { [ -x /usr/sbin/kamailio ] && ls /usr/lib/*/kamailio/modules/tls.so >/dev/null 2>&1; } && [ "$(id -u)" = 0 ]; then
    apt-get install -y --no-install-recommends kamailio kamailio-tls-modules || echo "without kamailio its rows are left out"
fi
if [ ! -x /usr/bin/redis-server ] && [ "$(id -u)" = 0 ]; then
    apt-get install -y --no-install-recommends redis-server || echo "without redis-server its rows are left out"
fi
# The peer of the engine, in an environment of its own.
if [ ! -x target/sippy/bin/b2bua_simple ]; then
    { python3 -m venv target/sippy && target/sippy/bin/pip install --quiet sippy==2.5.0; } ||
        { rm -rf target/sippy; echo "without sippy its row is left out"; }
fi
cargo build --release -p strowger -p strowger-bench

for part in table flatness latency tcp tls idle memory limit calls set-up engine-flatness engines start; do
    target/release/strowger-bench --first "$part" "$@"
done
target/release/strowger-bench --first micro
target/release/strowger-bench --first engine-parts
target/release/strowger-bench publish
