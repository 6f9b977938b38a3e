#!/usr/bin/env bash
# Makes swift-peft-train-VERSION-linux-ARCH.tar.gz: a tree that works wherever it is unpacked.
# Usage: packaging/dist.sh BUILD DIRECTORY
#   BUILD      where `swift build --static-swift-stdlib` left the program
#   DIRECTORY  where the tarball goes
# The same build and commit give the same bytes: names sorted, no owner, the commit's time.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
directory=$2
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
tree=swift-peft-train-$("$build/swift-peft-train" --version)-linux-$(uname -m)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

packaging/install.sh "$build" "$stage/$tree"
mkdir -p "$directory"
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
  -C "$stage" -cf - "$tree" | gzip -9n >"$directory/$tree.tar.gz"
(cd "$directory" && sha256sum "$tree.tar.gz" >"$tree.tar.gz.sha256")
ls -l "$directory/$tree.tar.gz"
