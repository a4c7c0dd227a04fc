"""Words that options take, and names of the options of one kind of network."""

DECODINGS = ("autoregressive", "parallel", "masked_diffusion")
"""Decoding modes. A network's default is the first of these that it was trained for."""

ENGINE_NAMES = ("auto", "native", "native-int8", "keras")
"""What continues texts, see `mdnn.generation.engines`."""

PUZZLE_OPTIONS = ("num_starts", "adaptive")
"""Options of puzzles alone."""

GUIDANCE_OPTIONS = ("guidance_scale", "negative_prompt")
"""Options of guidance, of items alone."""

OFFSET_OPTIONS = ("presence_penalty", "frequency_penalty", "logit_bias")
"""Options that change the scores of single tokens, of texts alone."""

GRAMMAR_OPTIONS = ("regex", "schema")
"""Options that restrict a text to a grammar, of texts alone."""

TEXT_OPTIONS = ("stop", "engine", "logprobs", *GRAMMAR_OPTIONS, *OFFSET_OPTIONS)
"""Options of texts alone."""

MAX_ALTERNATIVES = 20
"""Largest number of alternatives to each token, as in OpenAI's API."""
