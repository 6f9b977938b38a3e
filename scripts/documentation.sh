#!/usr/bin/env bash
# The documentation of every library target as pages in DIRECTORY (build/documentation), where a warning
# is an error: scripts/documentation.sh [DIRECTORY]
#
# It reads the modules of a debug build, so that neither a build of its own nor a plugin is needed.
# Look at it with `python3 -m http.server -d build/documentation`, then /documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
output=${1:-build/documentation}
swift=${SWIFT:-swift}

"$swift" build
modules=$("$swift" build --show-bin-path)/Modules
# Beside the compiler, or wherever the path says.
tool() {
  local beside
  beside=$(dirname "$(readlink -f "$(command -v "$swift")")")/$1
  if [ -x "$beside" ]; then echo "$beside"; else command -v "$1"; fi
}
extract=$(tool swift-symbolgraph-extract) && docc=$(tool docc) ||
  { echo "documentation.sh: docc or swift-symbolgraph-extract is not beside $swift" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# NAME PATH of each Swift library target that is not for tests or benchmarks.
targets=$("$swift" package describe --type json 2>"$scratch/log" | python3 -c '
import json, sys
for target in sorted(json.load(sys.stdin)["targets"], key=lambda t: t["name"]):
    if target["type"] == "library" and target["module_type"] == "SwiftTarget" \
            and target["path"].startswith("Sources/"):
        print(target["name"], target["path"])') || { cat "$scratch/log" >&2; exit 1; }
includes=()
for map in "$modules"/../C*.build/module.modulemap Sources/C*/module.modulemap \
  .build/checkouts/*/Sources/C*/include/module.modulemap; do
  includes+=(-Xcc "-fmodule-map-file=$map")
done
for directory in Sources/C*/include $(pkg-config --cflags-only-I hdf5 openblas zlib | sed 's/-I//g'); do
  includes+=(-Xcc "-I$directory")
done
triple=$("$swift" -print-target-info |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["target"]["triple"])')

failed=0
archives=()
while read -r name path; do
  mkdir -p "$scratch/$name"
  "$extract" -module-name "$name" -I "$modules" "${includes[@]}" \
    -target "$triple" \
    -minimum-access-level public -skip-synthesized-members -output-dir "$scratch/$name"
  catalog=("$path"/*.docc)
  [ -d "${catalog[0]}" ] || catalog=()
  "$docc" convert "${catalog[@]}" --additional-symbol-graph-dir "$scratch/$name" \
    --fallback-display-name "$name" --fallback-bundle-identifier "swift-peft-train.$name" \
    --output-path "$scratch/$name.doccarchive" >"$scratch/$name.log" 2>&1 || failed=1
  if grep -Eq '^(warning|error|Error)' "$scratch/$name.log"; then
    cat "$scratch/$name.log" >&2
    failed=1
  fi
  archives+=("$scratch/$name.doccarchive")
done <<<"$targets"
[ "$failed" = 0 ] || { echo "documentation.sh: the warnings above are to be mended" >&2; exit 1; }

rm -rf "$output"
mkdir -p "$(dirname "$output")"
"$docc" merge "${archives[@]}" --synthesized-landing-page-name swift-peft-train \
  --synthesized-landing-page-kind Package --output-path "$output"
echo "$output: ${#archives[@]} targets"
