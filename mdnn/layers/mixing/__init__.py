"""Mixers of grid axes, one per file; every module of this package is imported and registered.

A mixer's file defines its config keys, its layer, its decoding cache and its cost in a subclass of
`Mixer`, registered with `register_mixer`. A mixer in another package is registered the same way
when its module is imported.
"""

import importlib
import pkgutil

from mdnn.layers.mixing.decoding_cache import DecodingCache as DecodingCache
from mdnn.layers.mixing.mixer import MIXERS as MIXERS
from mdnn.layers.mixing.mixer import Mixer as Mixer
from mdnn.layers.mixing.mixer import make_mixer as make_mixer
from mdnn.layers.mixing.mixer import register_mixer as register_mixer

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
