"""One line for each case: `ok` or `FAILED`, its name, its figures, its time. test.sh counts these lines."""

import os
import signal
import sys
import time
import traceback

QUICK, USUAL, FULL = "quick", "usual", "full"
ONLY = os.environ.get("PEERS_ONLY", "")
SIZE = os.environ.get("PEERS_SIZE", USUAL)


def calls(quick, usual, full):
    """The number of calls in a case, at the chosen size."""
    return {QUICK: quick, USUAL: usual, FULL: full}[SIZE]


class Report:
    """Collects the outcome of one program's cases."""

    def __init__(self, program):
        self.program, self.failed = program, 0
        # If the whole program is told to end, the processes of its cases are ended too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def case(self, name, story, *arguments):
        """Runs `story`, which returns (figures, problems): a text, and a list that is empty if all is well."""
        if ONLY not in f"{self.program}/{name}":
            return
        began = time.monotonic()
        try:
            figures, problems = story(*arguments)
        except Exception as error:  # a case that breaks is a failed case, and the next one still runs
            where = traceback.extract_tb(error.__traceback__)[-1]
            figures, problems = "", [f"{type(error).__name__}: {error} ({os.path.basename(where.filename)}:{where.lineno})"]
        self.failed += bool(problems)
        verdict = "FAILED" if problems else "ok    "
        words = [figures, *(f"PROBLEM {problem}" for problem in problems)]
        print(f"{verdict} {self.program}/{name}: {'; '.join(filter(None, words))} [{time.monotonic() - began:.1f} s]", flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)
