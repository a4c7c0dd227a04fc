"""Keeps what was made last and used last."""

import threading

_LOCK = threading.Lock()
_NOTHING = object()


def recently_used(cache, key, make, most):
    """Returns the value of a key in a dict, made if it is not there.

    Args:
        cache: dict, whose last entry becomes that of the key.
        key: hashable.
        make: function without arguments that returns the value.
        most: int, largest number of entries; the least recently used are dropped.
    """
    with _LOCK:
        value = cache.pop(key, _NOTHING)
        if value is not _NOTHING:
            cache[key] = value
            return value
    value = make()
    with _LOCK:
        cache[key] = value
        while len(cache) > most:
            del cache[next(iter(cache))]
    return value
