"""The suite's fuzzing server, as `wstest --mode fuzzingserver` has it, but on 127.0.0.1 only and on a free port.

    fuzzingserver.py SPEC

For CPython 2.7. Its last line of output before the cases is the address.
"""

from __future__ import print_function

import json
import sys

from autobahntestsuite.fuzzing import FuzzingServerFactory
from twisted.internet import reactor

with open(sys.argv[1]) as spec:
    factory = FuzzingServerFactory(json.load(spec))
listener = reactor.listenTCP(0, factory, interface="127.0.0.1")
# The server compares it with the port that a client names in `Host`.
factory.externalPort = listener.getHost().port
print("listening on ws://127.0.0.1:%d/" % factory.externalPort)
sys.stdout.flush()
reactor.run()
