#!/usr/bin/env bash
# Installs the system libraries that the build needs, where they are missing (Debian, Ubuntu).
# Without root, or on another system, it says what to install and stops.
set -euo pipefail

# What is needed, and a file that shows it is there whoever installed it.
packages=()
need() {
  local package=$1
  shift
  if ! "$@" >/dev/null 2>&1; then packages+=("$package"); fi
}
need pkg-config command -v pkg-config
need openmpi-bin command -v mpirun
need libopenblas-dev pkg-config --exists openblas
need libhdf5-dev pkg-config --exists hdf5
need zlib1g-dev pkg-config --exists zlib

if ! command -v swift >/dev/null 2>&1; then
  echo "setup: no 'swift' on the PATH. Install Swift 6.3 from https://swift.org/install/linux" >&2
  exit 1
fi
if [ ${#packages[@]} -eq 0 ]; then
  exit 0
fi

install="apt-get install -y ${packages[*]}"
if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: missing: ${packages[*]} (Debian's names), and this system has no apt-get." >&2
  echo "setup: install Open MPI, OpenBLAS, HDF5 and zlib with their headers, and pkg-config." >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  sudo=()
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
  sudo=(sudo)
else
  echo "setup: missing: ${packages[*]}. Ask somebody with root rights to run:" >&2
  echo "setup:   apt-get update && $install" >&2
  exit 1
fi
echo "setup: installing ${packages[*]}"
"${sudo[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y --no-install-recommends \
  "${packages[@]}" >/dev/null
echo "setup: done"
