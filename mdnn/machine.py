"""What this process may use of the machine."""

import os


def cores():
    """How many cores this process may use, an int."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
