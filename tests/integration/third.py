# SPDX-License-Identifier: Apache-2.0
"""A third domain, made as tools/quickstart makes the other two: CCF-C, which
has an agreement with A about aef-c1, and none with B."""

import os

from wire import read, run, write


def make(d):
    def of_c(text):
        return (text.replace('ccf-b', 'ccf-c').replace('domain-b', 'domain-c')
                .replace(str(d.b.port), str(d.c.port))
                .replace('aefs = aef-b1', 'aefs = aef-c1'))

    d.make_token('ccf-c')
    write(d.c.conf, of_c(read(d.b.conf)))
    tool = os.environ['BUILD_DIR'] + '/tools/capif-hsm'
    ca, tls, jws = ('pkcs11:object=' + x for x in ('ca', 'tls', 'jws'))
    # The security officer uses the module itself.
    run(tool, 'kek', '--config', 'ccf-c/hsmd.cnf', '--so-pin-file',
        'ccf-c/so-pin', 'pkcs11:object=kek', cwd=d.dir,
        env=dict(os.environ, SOFTHSM2_CONF=d.dir + '/ccf-c/softhsm2.conf'))
    for args in (('keygen', ca, tls, jws),
                 ('ca', '--key', ca, '--name', 'CA of ' + d.c.id, '--days',
                  '3650', '--out', d.c.ca),
                 ('cert', '--key', tls, '--ca-cert', d.c.ca, '--ca-key', ca,
                  '--ccf-id', d.c.id, '--out', 'ccf-c/ccf.crt'),
                 ('jwks', '--out', 'ccf-c/jwks.json', jws)):
        run(tool, *args, cwd=d.dir, env=d.c.env())
    text = read(d.a.conf)
    partner = text[text.index('[partner ccf-b]'):].split('transport')[0]
    write(d.a.conf, text + '\n' + of_c(partner))
    d.begin('ccf-c')
    d.restart('ccf-a')
