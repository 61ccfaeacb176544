#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every header compiles alone, and twice: it includes what it needs and has a
# guard.
#
# usage: test_headers.sh [root]; the compiler is $CC or cc.  Prints TAP.
set -eu

cd "${1:-$(dirname "$0")/../..}"
cc=${CC:-cc}
flags='-std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror'
packages='libcrypto libssl libp11 p11-kit-1 jansson libevent libcurl libcbor sqlite3 libpq'

# A layer sees itself and those below it, as in the meson.build files.
includes() {
    case $1 in
    hsm | hsm/*) echo -Ihsm "-I$1" ;;
    provider) echo -Iprovider -Ihsm ;;
    capif) echo -Icapif ;;
    ccf) echo -Iccf -Icapif ;;
    aef) echo -Iaef -Icapif ;;
    tools/audit) echo -Itools/audit ;;
    esac
}

# Each by itself: one that is missing takes nothing from the others.
for p in $packages; do
    flags="$flags $(pkg-config --cflags "$p" 2>/dev/null || true)"
done

n=0
failed=0
for folder in hsm hsm/agent hsm/module provider capif ccf aef tools/audit; do
    for h in "$folder"/*.h; do
        [ -e "$h" ] || continue
        n=$((n + 1))
        name=${h##*/}
        # shellcheck disable=SC2046,SC2086 # flags are words
        if out=$(printf '#include "%s"\n#include "%s"\n' "$name" "$name" |
            $cc -fsyntax-only $flags $(includes "$folder") -x c - 2>&1); then
            echo "ok $n - $h"
        else
            echo "not ok $n - $h"
            printf '%s\n' "$out" | sed 's/^/# /'
            failed=1
        fi
    done
done
[ $n -gt 0 ] || failed=1
echo "1..$n"
exit $failed
