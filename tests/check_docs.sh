#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Manual pages against what they are about, both ways: the programs' --help,
# the tables of options in the daemons, the provider's configuration; the
# pages' form; and the README's links.
#
# usage: check_docs.sh SOURCE-ROOT BUILD-ROOT
# Prints TAP.
set -eu

src=$(cd "$1" && pwd)
build=$(cd "$2" && pwd)
docs=$src/docs
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
LC_ALL=C
export LC_ALL

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

# Succeeds if both lists, one name a line, have the same names, and any.
same() { # description file-of-the-program file-of-the-page
    sort -u "$2" >want
    sort -u "$3" >have
    comm -23 want have | sed "s/^/# not in the page: /"
    comm -13 want have | sed "s/^/# only in the page: /"
    if [ -s want ] && cmp -s want have; then s=0; else s=1; fi
    [ -s want ] || echo "# nothing found to compare"
    report $s "$1"
}

# Long options of text, and of mdoc.
help_options() { grep -oE -e '--[a-z][a-z0-9-]*' || true; }
page_options() { grep -oE 'Fl -[a-z][a-z0-9-]*' | sed 's/^Fl /-/' || true; }

# ---- options and commands of the programs ----

program() { # program page
    name=${1##*/}
    if ! "$build/$1" --help >help; then
        report 1 "$name --help"
        return 0
    fi
    { help_options <help; echo --help; } >theirs # whether it lists it or not
    page_options <"$docs/$2" >ours
    same "$2: options of $name" theirs ours
    sed -nE "s/^  $name +([a-z]+) .*/\1/p" help >theirs
    sed -nE 's/^\.It Cm ([a-z]+) (Fl|Oo|Op) .*/\1/p' "$docs/$2" >ours
    [ -s theirs ] || [ -s ours ] || return 0
    same "$2: commands of $name" theirs ours
    while read -r command <&3; do
        # "-" stands for the command itself, which may have no options.
        { sed -nE "s/^  $name +$command +(.*)/\1/p" help | help_options
          echo -; } >options
        { sed -nE "s/^\.It Cm $command (.*)/\1/p" "$docs/$2" | page_options
          echo -; } >documented
        same "$2: options of $name $command" options documented
    done 3<theirs
}

# ---- configuration ----

# The names in a table of struct capif_opt.
table_names() { # file table
    sed -n "/ $2\[\] = {/,/^};/p" "$src/$1" |
        sed -nE 's/^ +((STR|UINT|BOOL|LIST)\(|\{ *)"([^"]+)".*/\3/p'
}
# Lines of a page from a section heading to the next.
section() { # page heading
    awk -v h=".Sh $2" '/^\.Sh /{on = $0 == h} on' "$docs/$1"
}
section_names() { section "$@" | sed -nE 's/^\.It Ic ([^ ]+) = .*/\1/p'; }

# Each option says its default or that it is required, and has an example
# that sets it.
explained() { # page heading
    section "$@" | awk '
        function end() {
            if (name == "") return
            if (!said) print "# " name ": neither default nor required"
            if (!example) print "# " name ": no example"
        }
        /^\.It Ic / { end(); name = $3; said = example = after = 0; next }
        /^\.(El|Sh)/ { end(); name = ""; next }
        name != "" && /(^|[^a-z])(default|required)([^a-z]|$)/ { said = 1 }
        /^Example:$/ { after = 1; next }
        after && $1 == ".Dl" && $2 == name && $3 == "=" && NF > 3 {
            example = 1
        }
        { after = 0 }
        END { end() }' >missing
    cat missing
    if [ -s missing ]; then s=1; else s=0; fi
    report $s "$1, $2: defaults and examples"
}

table() { # page heading file table
    table_names "$3" "$4" >theirs
    section_names "$1" "$2" >ours
    same "$1, $2: options of $4" theirs ours
    explained "$1" "$2"
}

# Every table is compared: a new one must be named below.
tables() { # file table...
    file=$1
    shift
    sed -nE 's/^static const struct capif_opt ([a-z_]+)\[\] = .*/\1/p' \
        "$src/$file" >theirs
    printf '%s\n' "$@" >ours
    same "$file: all tables are compared" theirs ours
}

# ---- form ----

form() { # page
    : >out
    for tool in groff mandoc; do
        command -v $tool >/dev/null || echo "$tool is not installed" >>out
    done
    if [ ! -s out ]; then
        groff -mandoc -ww -z "$1" >>out 2>&1 || echo "groff fails" >>out
        mandoc -Tlint -W warning "$1" >>out 2>&1 || echo "mandoc fails" >>out
    fi
    sed 's/^/# /' out
    if [ -s out ]; then s=1; else s=0; fi
    report $s "${1##*/}: groff and mandoc have nothing to say"
}

links() { # Markdown file
    [ -e "$src/$1" ] || {
        report 0 "$1: links # SKIP there is none"
        return 0
    }
    {
        grep -oE '\]\([^)# ]+' "$src/$1" | sed 's/^](//' |
            grep -vE '^[a-z]+:' || true
        grep -oE 'docs/[A-Za-z_.-]+\.[1-8]' "$src/$1" || true
    } | sort -u >named
    s=0
    while read -r file; do
        [ -e "$src/$file" ] || [ -e "$src/$(dirname "$1")/$file" ] || {
            echo "# $file does not exist"
            s=1
        }
    done <named
    report $s "$1: links"
}

for page in capif.1 capif-hsm.1 ccfd.8 aefd.8 capif-hsmd.8 ccf.cnf.5 aef.cnf.5 hsmd.cnf.5 \
    OSSL_PROVIDER-sealed.7; do
    [ -r "$docs/$page" ] || {
        echo "Bail out! docs/$page is missing"
        exit 1
    }
done

program tools/capif capif.1
program tools/capif-hsm capif-hsm.1
program ccf/ccfd ccfd.8
program aef/aefd aefd.8
program hsm/capif-hsmd capif-hsmd.8

tables ccf/config.c ccf_options partner_options
tables aef/config.c aef_options api_options provider_options
tables hsm/agent/policy.c options rule_options
table ccf.cnf.5 'THE SECTION [ccf]' ccf/config.c ccf_options
table ccf.cnf.5 'SECTIONS [partner NAME]' ccf/config.c partner_options
table aef.cnf.5 'THE SECTION [aef]' aef/config.c aef_options
table aef.cnf.5 'SECTIONS [api NAME]' aef/config.c api_options
table aef.cnf.5 'THE SECTION [provider]' aef/config.c provider_options
table hsmd.cnf.5 'THE SECTION [hsmd]' hsm/agent/policy.c options
table hsmd.cnf.5 'SECTIONS [key LABEL]' hsm/agent/policy.c rule_options

sed -nE 's/^ *X\([a-z0-9_]+, "([^"]+)".*/\1/p' \
    "$src/provider/config.c" >theirs
section_names OSSL_PROVIDER-sealed.7 CONFIGURATION >ours
same 'OSSL_PROVIDER-sealed.7: configuration' theirs ours
explained OSSL_PROVIDER-sealed.7 CONFIGURATION

# The names that pkcs11-provider has for them: a list of its own.
sed -nE 's/^ *X\([a-z0-9_]+, ("[^"]+"|NULL), "([^"]+)".*/\2/p' \
    "$src/provider/config.c" >theirs
section OSSL_PROVIDER-sealed.7 'OPTIONS OF PKCS11-PROVIDER' |
    sed -nE 's/^\.It Ic ([a-z0-9-]+)$/\1/p' >ours
same 'OSSL_PROVIDER-sealed.7: names of pkcs11-provider' theirs ours

# Its reasons are the errors that a user sees.
sed -nE 's/^ *X\(PROV_E_[A-Z_]+, "([^"]+)"\).*/\1/p' \
    "$src/provider/prov.h" >theirs
section OSSL_PROVIDER-sealed.7 DIAGNOSTICS | sed -n 's/^\.It //p' >ours
same 'OSSL_PROVIDER-sealed.7: reasons of errors' theirs ours

for page in "$docs"/*.[1-8]; do form "$page"; done
for page in README.md SECURITY.md docs/EXPOSURE.md; do links $page; done
echo "1..$n"
exit $failed
