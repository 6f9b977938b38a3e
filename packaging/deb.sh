#!/usr/bin/env bash
# Makes swift-peft-train_VERSION_ARCH.deb for the Debian or Ubuntu that it runs on.
# Usage: packaging/deb.sh BUILD DIRECTORY
#   BUILD       where `swift build --static-swift-stdlib` left the program
#   DIRECTORY   where the package goes
#   DEBFULLNAME, DEBEMAIL  who answers for it (default: git's user.name and user.email)
# What it depends on is what the program is linked with, as dpkg-shlibdeps finds it.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
directory=$2
name=swift-peft-train
version=$("$build/$name" --version)
architecture=$(dpkg --print-architecture)
maintainer="${DEBFULLNAME:-$(git config user.name || id -un)} "
maintainer+="<${DEBEMAIL:-$(git config user.email || echo "$(id -un)@$(hostname -f)")}>"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
doc=$root/usr/share/doc/$name

packaging/install.sh "$build" "$root/usr"

# Debian's places, and its compressed documents. Its module systems do not look below /usr.
mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
rm -r "$root/usr/share/modulefiles"
strip --strip-all --remove-section=.comment --remove-section=.note "$root/usr/bin/$name"
{
  printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
  printf 'Upstream-Name: %s\n\nFiles: *\nCopyright: %s the authors of %s\n' \
    "$name" "$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y)" "$name"
  printf 'License: Apache-2.0\n On Debian systems the whole text of the licence is in\n'
  printf ' /usr/share/common-licenses/Apache-2.0. Those of what is linked in are in\n'
  printf ' /usr/share/doc/%s/LICENSES.linked.gz.\n' "$name"
} >"$doc/copyright"
rm "$doc/LICENSE"
mv "$doc/CHANGELOG.md" "$doc/changelog"
{
  printf '%s (%s-1) unstable; urgency=medium\n\n  * See changelog.gz.\n\n' "$name" "$version"
  printf ' -- %s  %s\n' "$maintainer" "$(date -R -u -d "@$SOURCE_DATE_EPOCH")"
} >"$doc/changelog.Debian"
gzip -9n "$doc/changelog" "$doc/changelog.Debian" "$doc/LICENSES.linked" "$root"/usr/share/man/man1/*

# lintian: Yams brings its own libyaml; and this is no upload to Debian.
install -d "$root/usr/share/lintian/overrides"
printf '%s: %s\n' "$name" 'embedded-library libyaml *' "$name" 'initial-upload-closes-no-bugs *' \
  >"$root/usr/share/lintian/overrides/$name"

# dpkg-shlibdeps wants a source package around it.
mkdir -p "$scratch/debian" "$root/DEBIAN"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$name" "$name" >"$scratch/debian/control"
depends=$(cd "$scratch" && dpkg-shlibdeps -O "root/usr/bin/$name" 2>/dev/null |
  sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || { echo "deb: dpkg-shlibdeps found no dependencies" >&2; exit 1; }
cat >"$root/DEBIAN/control" <<END
Package: $name
Version: $version-1
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -ks --apparent-size "$root/usr" | cut -f1)
Depends: $depends
Recommends: openmpi-bin
Section: science
Priority: optional
Description: Parameter-efficient fine-tuning of language models on CPU clusters
 Trains adapters (LoRA, AdaLoRA, IA3, prompts and others) of Hugging Face
 models on the CPU nodes of a cluster, over MPI. Adapters work in Hugging
 Face PEFT, and have the same bits on any number of ranks and threads.
 .
 Batch scripts for Slurm are in /usr/share/$name/slurm.
END
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

mkdir -p "$directory"
dpkg-deb --root-owner-group -Zxz --build "$root" "$directory"
