#!/usr/bin/env bash
# Lays out what is installed: the program, its demo, manual, completions, Slurm scripts, module file.
# Usage: packaging/install.sh BUILD DIRECTORY
#   BUILD      where `swift build --static-swift-stdlib` left the program and its resources
#   DIRECTORY  the prefix, with DESTDIR in front where there is one; may be moved as a whole later
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
prefix=$2
name=swift-peft-train
version=$("$build/$name" --version)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

put() { # put MODE DIRECTORY FILE…
  local mode=$1 directory=$prefix/$2
  shift 2
  install -d -m 755 "$directory"
  install -m "$mode" "$@" "$directory"
}

put 755 bin "$build/$name"
# Function names stay, for the addresses of a crash report.
strip --strip-debug "$prefix/bin/$name"

# The program looks for its demo in ../share, seen from where it is.
put 644 "share/$name/Demo" "$build/${name}_$name.resources/Demo"/*
put 755 "share/$name/slurm" slurm/*.sbatch
put 644 "share/$name/slurm" slurm/README.md
put 755 "share/$name/scripts" scripts/mpirun.sh
put 644 "share/doc/$name" README.md CHANGELOG.md LICENSE SECURITY.md

# What is linked in: the packages that the build took, and Swift's own runtime with Foundation and ICU.
toolchain=$(dirname "$(readlink -f "$(command -v swift)")")/..
{
  for package in "$(dirname "$(readlink -f "$build")")"/../checkouts/*/; do
    printf '==== %s\n\n' "$(basename "$package")"
    cat "$package"/LICENSE* "$package"/NOTICE* 2>/dev/null || true
  done
  printf '\n==== libyaml, part of Yams\n\n'
  printf 'Copyright (c) %s\nUnder the terms of the MIT licence, as Yams.\n' \
    '2006-2016 Kirill Simonov, 2017-2020 Ingy doet Net'
  printf '\n==== Swift runtime, Foundation, ICU\n\n'
  cat "$toolchain/share/swift/LICENSE.txt"
} >"$scratch/LICENSES.linked"
put 644 "share/doc/$name" "$scratch/LICENSES.linked"

packaging/manual.sh "$build/$name" "$scratch/man"
put 644 share/man/man1 "$scratch"/man/*.1

complete() { # complete SHELL DIRECTORY FILE
  # They are read, not run: without the line that names a shell.
  "$build/$name" --generate-completion-script "$1" | sed '1{/^#!/d}' >"$scratch/$3"
  put 644 "$2" "$scratch/$3"
}
complete bash share/bash-completion/completions "$name"
complete zsh share/zsh/site-functions "_$name"
complete fish share/fish/vendor_completions.d "$name.fish"

# `module use PREFIX/share/modulefiles`: the file finds the prefix from where it lies itself.
cp packaging/modulefile.lua "$scratch/$version.lua"
put 644 "share/modulefiles/$name" "$scratch/$version.lua"
