"""What holds for every test."""

import signal

# A build machine may start the tests with Ctrl-C ignored, which every program they start would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
