#!/usr/bin/env bash
# Runs Python with the packages of python.txt, as the examples need them: stack/python.sh docs/examples/publish_booking.py ...
set -euo pipefail
# shellcheck source=stack/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ -d $python_home ]] || { echo "python: the packages of stack/python.txt are missing; run 'make setup'" >&2; exit 1; }
PYTHONPATH=$python_home exec python3 "$@"
