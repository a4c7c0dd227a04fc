"""The options of `mdnn.generate`: their fields, presets and checks."""

from mdnn.generation.options.generation_options import DEFAULT_LENGTH as DEFAULT_LENGTH
from mdnn.generation.options.generation_options import GenerationOptions as GenerationOptions
from mdnn.generation.options.generation_options import options_of as options_of
from mdnn.generation.options.option_words import DECODINGS as DECODINGS
from mdnn.generation.options.option_words import ENGINE_NAMES as ENGINE_NAMES
from mdnn.generation.options.presets import DEFAULTS as DEFAULTS
from mdnn.generation.options.presets import PRESETS as PRESETS
from mdnn.generation.options.presets import Preset as Preset
from mdnn.generation.options.presets import SamplingSettings as SamplingSettings
