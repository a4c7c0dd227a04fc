"""Runs random networks, prompts and settings in the native library, by time.

Called as a program by test_native_sanitizers.py: `native_fuzz.py SECONDS SEED`. A text must not
depend on the texts beside it, nor on how a prompt is divided.
"""

import pathlib
import sys
import tempfile
import time

import numpy as np
from native_networks import NETWORKS, text_network

import mdnn
from mdnn.generation.windows import encode_prompts, overlap_length
from mdnn.kernels.native_texts import native_decoder
from mdnn.kernels.run_plan import decoder_of_run
from mdnn.runs.run_folder import open_run
from mdnn.tokens.characters import TextTokenizer

CHECKS = 4
"""Rounds of prompts and settings for each network."""

LETTERS = "abc é漢\U0001f600\ud800 "


def fuzz(seconds, seed):
    """Returns the number of networks that were run."""
    rng, end, done = np.random.default_rng(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        name = list(NETWORKS)[int(rng.integers(len(NETWORKS)))]
        width = int(rng.choice([8, 16, 40, 64]))
        try:
            network = text_network(name, width)
        except mdnn.MdnnError as error:
            # Attention with an odd number of channels per head, and the like.
            print(f"{name} {width}: {error}")
            continue
        decoders = [native_decoder(network, overlap=overlap_length(network.grid), threads=2)]
        with tempfile.TemporaryDirectory() as folder:
            dtype = str(rng.choice(["float16", "int8", "int4"]))
            run = open_run(mdnn.quantize(network, dtype, out=pathlib.Path(folder) / "small"))
            decoders += [
                decoder_of_run(run, overlap=overlap_length(network.grid), rounded=rounded)
                for rounded in (False, True)
            ]
        # Building a network takes longer than what is checked of it.
        for decoder in decoders * CHECKS:
            check(decoder, network, rng)
        done += 1
    return done


def check(decoder, network, rng):
    texts = int(rng.integers(1, 6))
    prompts = [
        "".join(rng.choice(list(LETTERS), size=int(rng.integers(1, 2 * network.positions + 2))))
        for _ in range(texts)
    ]
    settings = {
        "seed": rng.integers(-(2**31), 2**31, size=texts),
        "temperature": rng.choice([0, 1e-30, 0.1, 1, 100], size=texts),
        "top_k": rng.choice([0, 1, 3, 2**31 - 1], size=texts),
        "top_p": rng.choice([1e-6, 0.5, 0.999, 1], size=texts),
    }
    window, filled = encode_prompts(TextTokenizer(()), prompts, network.positions)
    together = decoder.start(window, filled, settings).decode(25)
    k = int(rng.integers(texts))
    one = {name: values[k : k + 1] for name, values in settings.items()}
    alone = decoder.start(window[k : k + 1], filled[k : k + 1], one).decode(25)[0]
    np.testing.assert_array_equal(together[k], alone)
    count = int(filled[k])
    pieces = [decoder.scores(window[k, :count], window[k, :count], chunk) for chunk in (64, 3)]
    for a, b in zip(*pieces, strict=True):
        np.testing.assert_array_equal(a, b)


if __name__ == "__main__":
    print(fuzz(float(sys.argv[1]), int(sys.argv[2])), "networks")
