"""Mixers of grid axes, one per file; every module of this package is imported and registered.

A mixer's file defines its config keys, its layer, its decoding cache and its cost in a subclass of
`Mixer`, registered with `register_mixer`. A mixer in another package is registered the same way
when its module is imported.
"""

from mdnn.layers.mixing.mixer import Mixer as Mixer
from mdnn.layers.mixing.mixer import load_mixers as load_mixers
from mdnn.layers.mixing.mixer import make_mixer as make_mixer
from mdnn.layers.mixing.mixer import register_mixer as register_mixer


def __getattr__(name):
    # Both need Keras, which a config that is refused does not wait for.
    if name == "MIXERS":
        return load_mixers()
    if name == "DecodingCache":
        from mdnn.layers.mixing.decoding_cache import DecodingCache

        return DecodingCache
    raise AttributeError(f"module 'mdnn.layers.mixing' has no attribute {name!r}")
