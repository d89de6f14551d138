#!/usr/bin/env bash
# Benchmarks an older commit and this tree in turn, so that both meet the same noise, and prints the medians.
#   stack/bench_pair.sh COMMIT RUNS [flags of `demo bench`]
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$1 runs=$2
shift 2
pair="$PWD/target/bench-pair"
tree="$pair/tree"
trap 'git worktree remove --force "$tree"' EXIT
rm -rf "$pair"
mkdir -p "$pair/old" "$pair/new"
git worktree add --quiet --force --detach "$tree" "$commit"
programs=(healthflow-sync healthflow-simulator demo)
# One target folder for both: what they depend on is compiled once.
(cd "$tree" && CARGO_TARGET_DIR="$pair/../" cargo build --quiet --release --workspace --bins)
cp "${programs[@]/#/target/release/}" "$pair/old/"
cargo build --quiet --release --workspace --bins
cp "${programs[@]/#/target/release/}" "$pair/new/"

# A commit that has fixed rates measures none of them here: the medians are those of the one row that all commits have.
no_rates() {
    if "$pair/$1/demo" bench --help | grep -q -e --rates; then echo --rates; fi
}

for run in $(seq "$runs"); do
    for side in old new; do
        echo "run $run of $runs, $side"
        # shellcheck disable=SC2046 # One flag or none.
        "$pair/$side/demo" bench --in-flight 64 --out "$pair/$side-$run" "$@" $(no_rates "$side") >"$pair/$side-$run.log"
    done
done

# The median of a number in the reports of one side.
median() {
    sed -n "s/.*\"$2\": \([0-9.]*\).*/\1/p" "$pair/$1"-*/bench.json | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
echo "| medians of $runs runs at 64 in flight | $commit | this tree |"
echo "|---|---|---|"
for name in bookings_per_second percent_of_bare_loop cpu_seconds_per_1000 broker_cpu_seconds_per_1000 peak_rss_mb confirm_ms_p99; do
    echo "| $name | $(median old "$name") | $(median new "$name") |"
done
