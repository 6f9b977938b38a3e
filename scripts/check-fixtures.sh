#!/usr/bin/env bash
# Makes golden fixtures again, beside the committed ones, and compares.
# Usage: scripts/check-fixtures.sh [SUBSTRING]: the bases and cases whose names have it; all by default.
# PYTHON is an interpreter that has Tests/Fixtures/requirements.txt; by default one is set up in
# .build/fixtures, which downloads about a gigabyte.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  PYTHON=.build/fixtures/bin/python
  if [ ! -x "$PYTHON" ]; then
    python3 -m venv .build/fixtures
    "$PYTHON" -m pip install --quiet --requirement Tests/Fixtures/requirements.txt
  fi
fi
made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
cp -r Tests/Fixtures/. "$made"
"$PYTHON" "$made/generate.py" --only "${1:-}"
"$PYTHON" Tests/Fixtures/compare.py Tests/Fixtures "$made"
