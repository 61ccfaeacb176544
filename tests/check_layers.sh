#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Who may include what (design.md, 4): arrows go one way, tools, ccf, aef ->
# capif -> (EVP, libssl) -> provider -> hsm -> PKCS#11.
#
# usage: check_layers.sh [root]
# Prints TAP.  Besides the tree itself, each rule is tried on a copy where a
# forbidden include has been planted: a check that can't fail is no check.
set -eu

root=$(cd "${1:-$(dirname "$0")/..}" && pwd)
cd "$root"
folders='hsm provider capif ccf aef tools'

# deny pattern folder...: succeeds if nothing there includes such a header.
# A path in front of the name and blanks as the preprocessor allows them make
# no difference.
deny() {
    pat=$1
    shift
    ls -d "$@" >/dev/null &&
        ! grep -rnE --include='*.[ch]' --include='*.in' $skip \
            "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]($pat)" "$@"
}

# headers folder: a pattern of what lies there, by path, or by name where no
# other folder has a header of the same name.
headers() {
    pat="(.*/)?$1/.*"
    for h in "$1"/*.h; do
        h=${h##*/}
        [ "$(ls -d ./*/"$h" 2>/dev/null)" = "./$1/$h" ] || continue
        pat="$pat|${h%.h}\\.h"
    done
    printf '%s' "$pat"
}

# tools/bench compares the provider with the module itself: it alone reaches
# past all layers, and shares none of their code.  But for agent.c: what hsm/
# costs by way of the agent is to be measured through hsm.h.
rules='pkcs11 bench keys ccf_of_capif aef_of_capif aef_of_ccf ccf_of_aef'
speak='.*pkcs11\.h|(.*/)?internal\.h'
rule() {
    skip=
    case $1 in
    pkcs11)
        deny "$speak" provider capif ccf aef && skip=--exclude-dir=bench &&
            deny "$speak" tools
        ;;
    bench)
        deny '(.*/)?(prov|internal)\.h' tools/bench &&
            skip=--exclude=agent.c && deny '(.*/)?hsm\.h' tools/bench
        ;;
    keys) deny '(.*/)?(hsm|prov)\.h' capif ccf aef ;;
    ccf_of_capif) deny "$(headers ccf)" capif ;;
    aef_of_capif) deny "$(headers aef)" capif ;;
    aef_of_ccf) deny "$(headers aef)" ccf ;;
    ccf_of_aef) deny "$(headers ccf)" aef ;;
    esac
}

# What is planted: rule, folder, header.
plants='pkcs11 provider <p11-kit/pkcs11.h>
pkcs11 capif <pkcs11.h>
pkcs11 ccf "internal.h"
pkcs11 aef "../hsm/internal.h"
pkcs11 tools <p11-kit/pkcs11.h>
bench tools/bench "hsm.h"
bench tools/bench "../../hsm/internal.h"
keys capif "hsm.h"
keys ccf "prov.h"
keys aef "../hsm/hsm.h"
ccf_of_capif capif "planted_ccf.h"
aef_of_capif capif "aef/planted_aef.h"
aef_of_ccf ccf "planted_aef.h"
ccf_of_aef aef "../ccf/planted_ccf.h"'

n=0
failed=0
report() { # status description
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        failed=1
    fi
}

for r in $rules; do
    if found=$(rule "$r" 2>&1); then report 0 "$r"; else
        report 1 "$r"
        printf '%s\n' "$found" | sed 's/^/# /'
    fi
done

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
# shellcheck disable=SC2086 # words
cp -R $folders "$copy"
cd "$copy"
for f in ccf aef; do : >"$f/planted_$f.h"; done
for r in $rules; do # so that it is the plant which makes the difference
    if rule "$r" >/dev/null 2>&1; then s=0; else s=1; fi
    report $s "$r, nothing planted"
done
while read -r r folder header; do
    printf '# include %s\n' "$header" >"$folder/planted.c"
    if rule "$r" >/dev/null 2>&1; then s=1; else s=0; fi
    report $s "$r finds $header in $folder"
    rm "$folder/planted.c"
done <<END
$plants
END
echo "1..$n"
exit $failed
