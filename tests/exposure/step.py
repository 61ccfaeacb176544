# SPDX-License-Identifier: Apache-2.0
"""Stands in the place of the programs that tools/quickstart runs, in a build
directory of the test's own, so that quickstart itself is what is audited:

    capif-hsm keygen, kek   keys.py makes the keys, with known values
    capif-hsm register      finds keys that keys.py has made
    capif                   with the recorder; the test is told afterwards,
                            and answers when it has looked
    ccfd, aefd              the test is asked for the configuration, which
                            says where the token is
    anything else           as it is

EXPOSURE_DIR holds `socket`, at which the test listens, and `needles`;
EXPOSURE_BUILD is the real build directory.
"""

import json
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DIR, BUILD = os.environ['EXPOSURE_DIR'], os.environ['EXPOSURE_BUILD']
NEEDLES = DIR + '/needles'
PLACES = {'capif': 'tools', 'capif-hsm': 'tools', 'ccfd': 'ccf',
          'aefd': 'aef'}


def tell(**event):
    """The test's answer."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(DIR + '/socket')
        s.sendall(json.dumps(dict(event, cwd=os.getcwd())).encode() + b'\n')
        return json.loads(s.makefile().readline())


def place(argv):
    """The token's directory."""
    return os.path.dirname(os.path.abspath(
        argv[argv.index('--config') + 1] if '--config' in argv
        else os.environ['OPENSSL_CONF']))


def keys(where, *how):
    return subprocess.run(
        [sys.executable, HERE + '/keys.py', where, NEEDLES, *how],
        env=dict(os.environ, OPENSSL_CONF='/dev/null',
                 SOFTHSM2_CONF=where + '/softhsm2.conf'),
        check=False).returncode


def known_keys(argv):
    """capif-hsm keygen and kek, by keys.py."""
    kind = argv[argv.index('--type') + 1] if '--type' in argv else 'p256'
    labels = [a.partition('object=')[2] for a in argv
              if a.startswith('pkcs11:')]
    how = ['kek'] if argv[0] == 'kek' else ['pair', kind]
    return keys(place(argv), *how, *labels)


def known_provider(argv):
    """Those that capif-hsm register would make."""
    return keys(place(argv), 'pair', 'p256', 'aef', 'apf', 'amf') \
        or keys(place(argv), 'pair', 'transport', 'transport')


def recorded_conf():
    """The configuration, with the recorder before all other providers."""
    given = os.environ.get('OPENSSL_CONF')
    if given is None:
        return DIR + '/recorder.cnf'
    if os.path.dirname(given) == DIR:
        return given
    with open(given, encoding='utf-8') as f:
        text = f.read()
    out = '%s/%s' % (DIR, os.path.basename(given))
    with open(out, 'w', encoding='utf-8') as f:
        f.write(text.replace('[providers]\n',
                             '[providers]\naaa = recorder_provider\n')
                + '\n[recorder_provider]\nactivate = 1\nmodule = '
                + BUILD + '/tests/exposure/recorder.so\n')
    return out


def recorded(program, argv):
    env = dict(os.environ, OPENSSL_CONF=recorded_conf(),
               RECORDER_FILE=NEEDLES,
               RECORDER_TAG='2e' if argv[0] == 'call' else '1e')
    tell(what='before', argv=argv)
    status = subprocess.run([program] + argv, env=env, check=False).returncode
    tell(what='after', argv=argv, status=status)
    return status


def main(name, *argv):
    argv = list(argv)
    program = '%s/%s/%s' % (BUILD, PLACES[name], name)
    if name in ('ccfd', 'aefd'):
        argv[0] = tell(what='daemon', conf=os.path.abspath(argv[0]))['conf']
    elif name == 'capif-hsm' and argv[0] in ('keygen', 'kek'):
        return known_keys(argv)
    elif name == 'capif-hsm' and argv[0] == 'register':
        if (status := known_provider(argv)) != 0:
            return status
    elif name == 'capif':
        return recorded(program, argv)
    os.execv(program, [program] + argv)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
