#!/usr/bin/env bash
# Runs fuzz targets one after the other, each for SECONDS on two cores: fuzz/run.sh SECONDS [TARGET...]
# Without targets: all that Cargo.toml names. Starts from the torture corpora; a finding is left in fuzz/artifacts/ and ends the run.
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || mapfile -t found < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)
[ $# -gt 0 ] || set -- "${found[@]}"

command -v cargo-fuzz > /dev/null || cargo install cargo-fuzz --locked
# Sanitizers need a nightly compiler, or a stable one that is told to allow what nightly does.
toolchain=()
if rustup toolchain list 2> /dev/null | grep -q '^nightly'; then toolchain=(+nightly); else export RUSTC_BOOTSTRAP=1; fi

for target in "$@"; do
    mkdir -p "corpus/$target"
    case $target in
        message | framing | router) seeds=(../tests/src/rfc4475 ../tests/src/rfc5118) ;;
        *) seeds=() ;;
    esac
    echo "== $target for $seconds s"
    cargo "${toolchain[@]}" fuzz run "$target" "corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=5 -rss_limit_mb=1024 -fork=2 -ignore_crashes=0 -print_final_stats=1
done
