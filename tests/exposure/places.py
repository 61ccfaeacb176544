# SPDX-License-Identifier: Apache-2.0
"""Where a daemon's keys are: in its own process, or in an agent's.  What
differs between the two is here and nowhere else."""

import os
import re
import socket
import socketserver
import threading

MODULE = '/usr/lib/softhsm/libsofthsm2.so'
TOKEN_LINES = re.compile('^(?:pkcs11-module|pin-file|derive|agent) = .*\n',
                         re.M)


def with_token_lines(conf, lines):
    """A copy of a daemon's configuration whose [sealed_provider] says lines
    in place of how the token is reached there."""
    with open(conf, encoding='utf-8') as f:
        text = TOKEN_LINES.sub('', f.read())
    out = re.sub(r'\.cnf$', '.exposure.cnf', conf)
    head = '[sealed_provider]\n'
    assert text.count(head) == 1, conf
    with open(out, 'w', encoding='utf-8') as f:
        f.write(text.replace(head, head + ''.join('%s = %s\n' % x
                                                  for x in lines.items())))
    return out


class InProcess:
    """The control: SoftHSM is a library of the daemon."""

    guarded = False

    @staticmethod
    def conf(conf):
        return with_token_lines(conf, {
            'pkcs11-module': MODULE, 'derive': 'transient',
            'pin-file': os.path.dirname(conf) + '/pin'})

    @staticmethod
    def recordings():
        return []

    @staticmethod
    def stop():
        pass


class Agent:
    """As quickstart has it, an agent for each token; what its daemon and it
    say to each other is recorded on the way."""

    guarded = True

    def __init__(self):
        self.relays = {}

    def conf(self, conf):
        where = os.path.dirname(conf)
        name = os.path.basename(where)
        if name not in self.relays:
            self.relays[name] = Relay(where + '/relay.sock',
                                      where + '/hsmd.sock',
                                      where + '/recording')
        return with_token_lines(conf, {'agent': where + '/relay.sock'})

    def recordings(self):
        return [('socket-' + name, relay.recording)
                for name, relay in self.relays.items()]

    def stop(self):
        for relay in self.relays.values():
            relay.server.shutdown()
            relay.server.server_close()


class Relay:
    """Between two Unix sockets; what passes is in files of a directory, one
    for each direction of each connection."""

    def __init__(self, path, to, recording):
        self.recording, self.n = recording, 0
        os.makedirs(recording, exist_ok=True)
        this = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                this.n += 1
                with socket.socket(socket.AF_UNIX) as peer:
                    try:
                        peer.connect(to)
                    except OSError:
                        return  # the agent is dead: so are we
                    back = threading.Thread(target=this.pump, args=(
                        peer, self.request, 'out-%d' % this.n))
                    back.start()
                    this.pump(self.request, peer, 'in-%d' % this.n)
                    back.join()

        self.server = socketserver.ThreadingUnixStreamServer(path, Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    def pump(self, a, b, name):
        with open('%s/%s' % (self.recording, name), 'wb', 0) as f:
            try:
                while data := a.recv(65536):
                    f.write(data)
                    b.sendall(data)
            except OSError:
                pass  # one of them died
        for end in a, b:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
