"""A program: downloads and prepares one TFDS set.

`python tfds_prepare.py NAME DATA_DIR`; prints one JSON object with `error` and ends with status
1 if that fails. `mdnn.datasets.tfds.tfds_sets` runs it in a process of its own: TFDS waits for
networks without a limit, in threads that nothing can stop.
"""

import json
import os
import sys


def main(name, data_dir):
    """Prepares a set; returns what went wrong in one line, or `None`."""
    try:
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core.download import downloader

        # Ten retries would take minutes; a name that is not found stays so.
        downloader.MAX_RETRIES = 2
        tfds.disable_progress_bar()
        tfds.builder(name, data_dir=data_dir).download_and_prepare()
    except Exception as error:
        return reason(error)
    return None


def reason(error):
    """Returns the first line of the error at the beginning of a chain of errors."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        error = error.__cause__ or error.__context__
    lines = [line.strip() for line in str(seen[-1]).splitlines() if line.strip()]
    return f"{type(seen[-1]).__name__}: {lines[0]}"[:200] if lines else type(seen[-1]).__name__


if __name__ == "__main__":
    failed = main(*sys.argv[1:])
    if failed:
        print(json.dumps({"error": failed}), flush=True)
    # Without waiting for threads that may hang.
    os._exit(1 if failed else 0)
