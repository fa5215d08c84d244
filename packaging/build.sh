#!/usr/bin/env bash
# Makes the packages: a .deb with its debug symbols apart, and an archive for other systems. Needs cargo-deb (cargo install cargo-deb)
# for the first, and binutils.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

usage() {
  cat <<'TEXT'
usage: packaging/build.sh [--profile NAME] [--target TRIPLE] [--out DIR] [deb] [archive]
  deb, archive   what is made; without a word, both
  --profile      profile of Cargo [default: release]
  --target       target of Cargo, such as x86_64-unknown-linux-musl, whose program needs no library [default: this machine's]
  --out          folder for what is made [default: target/packages]
TEXT
}

profile=release triple='' out=$root/target/packages what=()
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=${2:?--profile needs a name}; shift ;;
    --target) triple=${2:?--target needs a triple}; shift ;;
    --out) out=$(realpath -m "${2:?--out needs a folder}"); shift ;;
    deb | archive) what+=("$1") ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ ${#what[@]} -gt 0 ] || what=(deb archive)

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y Cargo.lock)}
export SOURCE_DATE_EPOCH

# The folder of what Cargo has built: `dev` lies in `debug`.
folder=$profile
[ "$profile" != dev ] || folder=debug
target=()
[ -z "$triple" ] || target=(--target "$triple")
built=${CARGO_TARGET_DIR:-$root/target}/${triple:+$triple/}$folder
program=$built/strowger

cargo build --locked --profile "$profile" "${target[@]}" -p strowger
mkdir -p "$out"

# Manual pages and completions come from the program itself.
pages=$root/target/packaging
rm -rf "$pages"
"$program" pages "$pages"
version=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"name":"strowger","version":"\([^"]*\)".*/\1/')

make_deb() {
  cargo deb --no-build --profile "$profile" "${target[@]}" --dbgsym -p strowger --output "$out/"
}

make_archive() {
  local triple=${triple:-$(rustc -vV | sed -n 's/^host: //p')} work name
  name=strowger-$version-$triple
  work=$(mktemp -d)
  mkdir -p "$work/$name/bin" "$work/$name/share"
  # The debug symbols, for gdb and perf, are an archive of their own.
  objcopy --only-keep-debug "$program" "$work/strowger.debug"
  objcopy --strip-all --add-gnu-debuglink="$work/strowger.debug" "$program" "$work/$name/bin/strowger"
  cp -r "$pages/man" "$pages/completions" "$work/$name/share/"
  cp -r packaging/systemd packaging/etc packaging/prometheus packaging/grafana "$work/$name/"
  cp LICENSE CHANGELOG.md README.md SECURITY.md "$work/$name/"
  pack "$work" "$name" "$out/$name.tar.gz"
  pack "$work" strowger.debug "$out/$name-debug.tar.gz"
  rm -rf "$work"
  local glibc
  glibc=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 || true)
  echo "$name: needs ${glibc:-no C library}"
}

# The same bytes from the same files.
pack() {
  tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -cf - "$2" | gzip -9n >"$3"
}

for kind in "${what[@]}"; do "make_$kind"; done
(cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | sort | xargs sha256sum >SHA256SUMS && cat SHA256SUMS)
