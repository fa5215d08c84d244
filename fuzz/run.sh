#!/usr/bin/env bash
# Runs fuzz targets, each for SECONDS on a core of its own: fuzz/run.sh SECONDS [TARGET...]
# Without targets: all that Cargo.toml names. Starts from the torture corpora, the words of what is read, and fuzz/seeds; a finding is left in
# fuzz/artifacts/ and ends the run.
set -euo pipefail
cd "$(dirname "$0")"
export seconds=${1:?usage: fuzz/run.sh SECONDS [TARGET...]}
shift
[ $# -gt 0 ] || mapfile -t found < <(sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"$/\1/p' Cargo.toml)
[ $# -gt 0 ] || set -- "${found[@]}"

command -v cargo-fuzz > /dev/null || cargo install cargo-fuzz --locked
# Sanitizers need a nightly compiler, or a stable one that is told to allow what nightly does.
export toolchain=''
if rustup toolchain list 2> /dev/null | grep -q '^nightly'; then toolchain=+nightly; else export RUSTC_BOOTSTRAP=1; fi

# Status 255 keeps xargs from beginning another one.
run() {
    local target=$1 log seeds=() words=()
    log=$(mktemp)
    mkdir -p "corpus/$target"
    case $target in
        message | framing | router) seeds=(../tests/src/rfc4475 ../tests/src/rfc5118) ;;
        config) words=(-dict="$(dictionary config '`[a-z][a-z0-9_.-]*`' ../docs/configuration.md)") ;;
        control) words=(-dict="$(dictionary control '"[a-z][a-z-]*"' ../docs/openapi.json)") ;;
    esac
    [ ! -d "seeds/$target" ] || seeds+=("seeds/$target")
    # shellcheck disable=SC2086
    if cargo $toolchain fuzz run "$target" "corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -max_len=65536 "${words[@]}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 > "$log" 2>&1; then
        echo "== $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s"
        rm "$log"
    else
        tail -n 60 "$log"
        echo "$target failed: the whole is in $log"
        return 255
    fi
}

# The words of this form in a page, as a dictionary for the target: its path.
dictionary() {
    grep -ohE "$2" "$3" | tr -d '`"' | sort -u | sed 's/.*/"&"/' > "corpus/$1.dict"
    echo "corpus/$1.dict"
}
export -f run dictionary

# shellcheck disable=SC2086
cargo $toolchain fuzz build
printf '%s\n' "$@" | xargs -P "$(nproc)" -I '{}' bash -c 'run {}'
