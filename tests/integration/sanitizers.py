# SPDX-License-Identifier: Apache-2.0
"""What ASan and UBSan say of daemons that were built with them."""

import re

from wire import read

REPORT = re.compile('.*(ERROR: [A-Za-z]+Sanitizer|: runtime error: )')


def check(d):
    """A daemon that died may have been begun anew since: the log has it."""
    for path in d.files():
        if path.endswith('/log'):
            text = read(path)
            at = REPORT.search(text)
            if at:
                raise AssertionError('%s:\n%s' % (path, text[at.start():]))
