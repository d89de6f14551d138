#!/usr/bin/env bash
# Checks the dependencies against deny.toml. What needs the network is checked where there is one, and its absence is said.
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

# A repository that does not answer must not hold up the others.
fetch_seconds_max=120

deny() { "$deny_home/bin/cargo-deny" --workspace "$@"; }

[[ -x $deny_home/bin/cargo-deny ]] || { echo "deny: cargo-deny is missing; stack/setup.sh says why" >&2; exit 1; }
deny check bans licenses sources

log=$cache/advisories.log
if GIT_TERMINAL_PROMPT=0 timeout "$fetch_seconds_max" "$deny_home/bin/cargo-deny" --workspace fetch db >"$log" 2>&1; then
  deny check --disable-fetch advisories
else
  printf 'deny: ADVISORIES NOT CHECKED: the database of RustSec cannot be fetched from here; what was said is in %s\n' "$log" >&2
fi
