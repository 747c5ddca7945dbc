"""What holds for every test."""

import signal

from hypothesis import settings

# A build machine may start the tests with Ctrl-C ignored, which every program they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no reason to fail: nothing is judged by how long an example took.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
