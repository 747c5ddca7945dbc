"""Makes a Python process one whose host's clock is wrong: put this folder first on its PYTHONPATH.

Python runs this file before anything else. Only the harness knows of it.
"""

import os
import time

OFFSET = "CAMPAIGN_CLOCK_OFFSET_US"

if os.environ.get(OFFSET):
    from sync.clock import SystemClock

    def now(self: SystemClock) -> int:
        return time.time_ns() // 1_000 + int(os.environ[OFFSET])

    setattr(SystemClock, "now", now)  # noqa: B010
