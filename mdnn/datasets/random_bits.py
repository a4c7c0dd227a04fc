"""Random bits as a pure function of (seed, step)."""

import numpy as np

# Second words of the generator's key: other draws from the same seed take other numbers.
BATCH = 0x6261746368  # "batch"
OBJECTIVE = 0x6F626A  # "obj"
MASKS = 0x626C616E6B  # "blank"
VALIDATION = 0x76616C6964  # "valid"
VARIED = 0x76617279  # "augment"
CASES = 0x63617365  # "case"
IMAGES = 0x696D616765  # "image"
HASHES = 0x68617368  # "hash"
STEPS = 0x7374657073  # "steps"
EXPLORE = 0x6578706C  # "expl"
SOURCES = 0x736F75726365  # "source"
PARTS = 0x7061727473  # "parts"
RECALL = 0x726563616C6C  # "recall"
WIDTHS = 0x7769647468  # "width"
MERGES = 0x6D65726765  # "merge"


def raw_bits(seed, step, number, stream):
    """Returns random words that depend on nothing but the arguments.

    They come from Philox's raw stream, which numpy keeps the same between versions.

    Args:
        seed: int.
        step: int from 0.
        number: int, or a tuple of ints: the shape.
        stream: int, what they are for: one of this module's constants.

    Returns:
        uint64 of the shape.
    """
    return raw_stream(seed, step, stream)(int(np.prod(number))).reshape(number)


def unit_floats(bits):
    """Converts random words to numbers from 0 to 1, 1 excluded.

    Args:
        bits: uint64 of any shape.

    Returns:
        float64 of the same shape: 53 bits, which a float64 holds exactly.
    """
    return (bits >> np.uint64(11)).astype("float64") / 2**53


def raw_stream(seed, step, stream):
    """Returns a function of `n` that returns the next `n` random words.

    Its results, call after call, depend on nothing but the arguments; its first words are those
    of `raw_bits`.

    Args:
        seed: int.
        step: int from 0.
        stream: int, what the numbers are for: one of this module's constants.
    """
    # The step is the counter's second word: the first counts the draws within the step.
    counter = np.array([0, step, 0, 0], dtype=np.uint64)
    key = np.array([seed % 2**64, stream], dtype=np.uint64)
    return np.random.Philox(counter=counter, key=key).random_raw
