#!/usr/bin/env bash
# Installs what the tests need, builds Strowger, and runs every test: the crates' own, the peers (SIPp, Kamailio, sipsak, pjsip,
# baresip, sngrep, JsSIP in Chromium), and minutes of fuzzing. The last line says how many passed and failed.
set -uo pipefail
cd "$(dirname "$0")"

usage() {
  cat <<'TEXT'
usage: ./test.sh [--quick | --full] [--only NAME] [--list] [--write]
  --quick      small counts: a few minutes in all
  --full       10,000 calls in each combination, ten minutes of fuzzing
  --only NAME  one step of --list, or the cases of the peer programs whose name contains NAME
  --list       names of the steps
  --write      `corpora` writes docs/corpora.md; `unlike` its part of docs/unlike-servers.md, with its picture
TEXT
}

# Peer programs run in two lanes side by side, each program with the ports of its own lane. Those that need the machine's own network
# namespace, because they make others or because their peer wants a real interface, are in the first lane.
FIRST_LANE=(setup matrix vrrp anycast redundant kills phones pages pjsua browser converged outbound register kamailio imported corpora hostile attacks tls unlike shift score health alerts secure_api proxied sni belonging tolerance)
SECOND_LANE=(engines services cluster failover death run restart handover refusing transports segments held churn hashed twins levels change tiers why renewed encapsulated names)
PEERS=("${FIRST_LANE[@]}" "${SECOND_LANE[@]}")
STEPS=(rust "${PEERS[@]}" fuzz)
PACKAGES=(iproute2 keepalived bird2 sip-tester kamailio kamailio-outbound-modules sipsak baresip sngrep openssl curl python3 prometheus chromium redis-server faketime haproxy dnsmasq-base)
# JsSIP comes by npm; Node.js often came without Debian's package of it.
command -v npm >/dev/null || PACKAGES+=(npm)
python3 -m pip --version >/dev/null 2>&1 || PACKAGES+=(python3-pip)
# Of each fuzz target: all of them together, with their build, stay under seven minutes on two processors.
size=usual only='' fuzz_seconds=20
while [ $# -gt 0 ]; do
  case $1 in
    --quick) size=quick fuzz_seconds=10 ;;
    --full) size=full fuzz_seconds=600 ;;
    --only) only=${2:?--only needs a name}; shift ;;
    --list) printf '%s\n' "${STEPS[@]}"; exit 0 ;;
    --write) export PEERS_WRITE=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
export RUST_BACKTRACE=0 PEERS_SIZE=$size PATH="$PWD/target/tools/bin:$PATH"

passed=0 failed=0 not_run=() ends=()
say() { printf '== %4d s  %s\n' "$SECONDS" "$*"; }
fail() { echo "FAILED $*"; failed=$((failed + 1)); }

# Ends the run: without these there is nothing to test with, and a test that did not run must not look like one that passed.
give_up() {
  echo "$1" >&2
  echo "0 passed, 1 failed"
  exit 1
}

install_packages() {
  local missing=() package root=()
  for package in "${PACKAGES[@]}"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || root=(sudo -n)
  say "installing ${missing[*]}"
  "${root[@]}" apt-get update -qq >/dev/null &&
    DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    give_up "The tests need these Debian packages: ${missing[*]}. As root: apt-get update && apt-get install -y ${missing[*]}"
}

run_rust() {
  local log=target/rust-tests.log
  say "cargo test --workspace"
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --workspace --no-fail-fast --status-level fail --final-status-level fail 2>&1 | tee "$log" | grep -vE '^ +(Compiling|Downloaded)'
    cargo test --workspace --doc --no-fail-fast 2>&1 | tee -a "$log" | grep -E 'FAILED|panicked|^error'
  else
    cargo test --workspace --no-fail-fast 2>&1 | tee "$log" | grep -E '^test result|FAILED|panicked|^error'
  fi
  passed=$((passed + $(sum_of passed "$log")))
  failed=$((failed + $(sum_of failed "$log")))
  if grep -qE '^error(\[|:)' "$log" && [ "$(sum_of failed "$log")" -eq 0 ]; then fail "rust: the workspace's tests did not build or run; see $log"; fi
}

# Sum of "N passed" (or failed) over the summary lines of cargo test and of nextest.
sum_of() {
  sed -E 's/\x1b\[[0-9;]*m//g' "$2" | grep -E '^test result:|^ +Summary \[' | grep -oE "[0-9]+ $1" | awk '{ n += $1 } END { print n + 0 }'
}

# Runs a peer program, in a network namespace if one is named, and writes its output when it has ended.
run_peer() {
  local program=$1 log=target/peers-$1.log status=0
  local -a inside=(${2:+ip netns exec "$2"})
  say "$program begins"
  (cd tests/peers && exec "${inside[@]}" timeout 900 python3 "$program.py") >"$log" 2>&1 || status=$?
  if [ "$status" -ne 0 ] && ! grep -q '^FAILED' "$log"; then echo "FAILED $program: ended with status $status" >>"$log"; fi
  say "$program"
  cat "$log"
}

run_lane() {
  local namespace=$1 program
  shift
  for program; do run_peer "$program" "$namespace"; done
}

# All programs, in two lanes if we may make a network namespace, else one after the other.
run_peers() {
  local namespace=strowger-tests-$$ program
  if ip netns add "$namespace" 2>/dev/null && ip -n "$namespace" link set lo up; then
    run_lane "$namespace" "${SECOND_LANE[@]}" &
    run_lane '' "${FIRST_LANE[@]}"
    wait $!
    ip netns delete "$namespace"
  else
    run_lane '' "${PEERS[@]}"
  fi
  for program in "${PEERS[@]}"; do count_peer "$program"; done
  run_again
}

# The lanes share the processors with each other and with whatever else the machine does, and calls are timed. So a case that failed
# runs once more, with nothing beside it. What it said first stays in the output, and the end of the output has both. Where more than
# three cases failed, it is not the machine, and nothing runs again.
run_again() {
  local -a lines
  local name first second program log=target/peers-again.log
  mapfile -t lines < <(for program in "${PEERS[@]}"; do grep -h '^FAILED' "target/peers-$program.log"; done)
  [ ${#lines[@]} -gt 0 ] || return
  for first in "${lines[@]}"; do
    name=$(sed -nE 's/^FAILED ([a-z_]+\/[^:]+): .*/\1/p' <<<"$first")
    program=${name%%/*}
    if [ -z "$name" ] || [ ${#lines[@]} -gt 3 ]; then
      ends+=("$first")
      continue
    fi
    say "$name once more"
    (cd tests/peers && PEERS_ONLY=$name PEERS_LOGS=$PWD/../../target/peers-again timeout 900 python3 "$program.py") >"$log" 2>&1
    cat "$log"
    second=$(grep -hF " $name: " "$log" | head -n 1)
    ends+=("$first" "  once more: ${second:-it ended without a word}")
    case $second in ok*) passed=$((passed + 1)) failed=$((failed - 1)) ;; esac
  done
}

count_peer() {
  passed=$((passed + $(grep -c '^ok ' "target/peers-$1.log")))
  failed=$((failed + $(grep -c '^FAILED' "target/peers-$1.log")))
}

run_fuzz() {
  local log=target/fuzz.log targets
  say "fuzz, ${fuzz_seconds} s for each target"
  if ! command -v cargo-fuzz >/dev/null && ! cargo install --quiet --locked cargo-fuzz --root target/tools; then
    not_run+=("fuzz: cargo-fuzz could not be installed (cargo install cargo-fuzz)")
    return
  fi
  timeout $((fuzz_seconds * 10 + 900)) fuzz/run.sh "$fuzz_seconds" >"$log" 2>&1
  local status=$?
  # One line for each target without a finding.
  targets=$(grep -c '^== ' "$log")
  grep '^== ' "$log"
  passed=$((passed + targets))
  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    fail "fuzz: ended with status $status; see $log"
  fi
}

run() {
  case $1 in
    rust) run_rust ;;
    fuzz) run_fuzz ;;
    *) run_peer "$1" && count_peer "$1" ;;
  esac
}

install_packages
command -v cargo >/dev/null || give_up "The tests need Rust: https://rustup.rs"
mkdir -p target
say "cargo build --release"
cargo build --release --quiet -p strowger || give_up "strowger does not build"
# Its parties need no speed, and the crates' own tests build the same.
cargo build --quiet -p strowger-bench || give_up "strowger-bench does not build"
export STROWGER_BENCH=$PWD/target/debug/strowger-bench

if [ -z "$only" ]; then
  run_rust
  run_peers
  run_fuzz
elif [[ " ${STEPS[*]} " == *" $only "* ]]; then
  run "$only"
else
  export PEERS_ONLY=$only
  run_peers
  [ $((passed + failed)) -gt 0 ] || fail "no case contains $only in its name"
fi

for line in "${ends[@]+"${ends[@]}"}"; do printf '%s\n' "$line" | cut -c1-400; done
for reason in "${not_run[@]+"${not_run[@]}"}"; do echo "NOT RUN $reason"; done
say "done"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
