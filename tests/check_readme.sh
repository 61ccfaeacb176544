#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The README's commands, run verbatim in a copy of the tree that has a
# build of its own: argument 1 is the source root, 2 the build root.
set -eu

src=$1 build=$2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
for f in "$src"/*; do
    case $f in */b | */b-* | */run) ;; *) ln -s "$f" . ;; esac
done
ln -s "$build" b

# The build is there already: only that line is not run.
sed -n '/^## From clone/,/^## Where/s/^    //p' "$src/README.md" > commands
grep -q '^meson setup b && ninja -C b$' commands
sed -i 1d commands

echo 1..1
if sh -eux commands > log 2>&1 && grep -q '^Verified OK$' log; then
    echo "ok 1 - README: from clone to a signature"
else
    sed 's/^/# /' log
    echo "not ok 1 - README: from clone to a signature"
fi
