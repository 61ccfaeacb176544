# SPDX-License-Identifier: Apache-2.0
"""unittest's results as TAP, one line a test."""

import sys
import traceback
import unittest


class Tap(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.n = 0
        self.said = False

    def startTest(self, test):
        super().startTest(test)
        self.said = False

    def stopTest(self, test):
        if not self.said:  # a subtest failed
            self.line(False, test)
        super().stopTest(test)

    def line(self, ok, test, more=''):
        if not hasattr(test, '_testMethodName'):
            print('Bail out! %s%s' % (test, more), flush=True)
            return
        self.n += 1
        self.said = True
        print('%sok %d - %s%s' % ('' if ok else 'not ', self.n,
                                  test._testMethodName[5:].replace('_', ' '),
                                  more), flush=True)

    @staticmethod
    def explain(err):
        for text in traceback.format_exception(*err):
            print('# ' + text.rstrip().replace('\n', '\n# '))

    def addSuccess(self, test):
        self.line(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self.explain(err)
        self.line(False, test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.explain(err)
        self.line(False, test)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            print('# in', subtest)
            self.explain(err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line(True, test, ' # SKIP ' + reason)


class Loader(unittest.TestLoader):
    """Tests run in the order in which the file has them."""

    def getTestCaseNames(self, case):
        return [n for n in vars(case) if n.startswith('test_')]


def main():
    suite = Loader().loadTestsFromModule(sys.modules['__main__'])
    print('1..%d' % suite.countTestCases(), flush=True)
    result = Tap()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
