#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An openssl.cnf that loads the provider with the token `demo` of SoftHSM;
# the PIN is in the file `pin` of this directory.
module=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
cat <<EOF
openssl_conf = openssl_init

[openssl_init]
providers = providers

[providers]
default = default_provider
sealed = sealed_provider

[default_provider]
activate = 1

[sealed_provider]
activate = 1
module = $module
pkcs11-module = /usr/lib/softhsm/libsofthsm2.so
token = pkcs11:token=demo
pin-file = $PWD/pin
EOF
