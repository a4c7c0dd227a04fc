"""Wall time since the command began: imports, tracing and compiling among it."""

import os
import time

IMPORTED = time.perf_counter()


def wall_seconds():
    """Returns the seconds since this process began, a float.

    Where the system does not say when that was (only Linux does), since this module was imported.
    """
    try:
        with open("/proc/self/stat", encoding="ascii") as file:
            begun = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        with open("/proc/uptime", encoding="ascii") as file:
            return float(file.read().split()[0]) - begun
    except (OSError, ValueError, IndexError):
        return time.perf_counter() - IMPORTED


def timed(main):
    """Runs a benchmark's `main`, then prints the wall time; returns its exit status."""
    status = main()
    print(f"\nwall time: {wall_seconds():,.0f} s since the command began", flush=True)
    return status
