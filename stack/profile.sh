#!/usr/bin/env bash
# Profiles a worker under the benchmark's load: `demo profile`, with the tools that it needs.
#   stack/profile.sh [flags of `demo profile`]
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
cd "$root"

"$stack_dir/setup.sh" --profile
cargo build --release --workspace --bins
mkdir -p target/profile
cc -O2 -fPIC -shared -Wall -Wextra -o target/profile/count_allocations.so "$stack_dir/count_allocations.c"
exec cargo run --release -p healthflow-lab --bin demo -- profile \
  --allocation-counter "$root/target/profile/count_allocations.so" --inferno "$inferno_home/bin" "$@"
