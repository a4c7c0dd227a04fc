"""The tokenizer inside a GGUF file, as tokenizer.json and tokenizer_config.json."""

import json

from mdnn.errors import MdnnError, shown
from mdnn.foreign.sentencepiece_merges import sentencepiece_json
from mdnn.tokens.subwords.tokenizer_json import MAX_TOKENS, REGULAR_EXPRESSIONS, read_tokenizer

# Types of tokens: those that are special, and those that are read as a whole.
_CONTROL, _USER_DEFINED = 3, 4

_GPT_2 = [{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]


def _split(number):
    pattern = {"Regex": REGULAR_EXPRESSIONS[number]}
    return [
        {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ]


_DIGITS = {"type": "Digits", "individual_digits": True}

PRE_TOKENIZERS_OF = {
    "gpt-2": _GPT_2,
    "default": _GPT_2,
    "smollm": [_DIGITS, *_GPT_2],
    "starcoder": [_DIGITS, *_GPT_2],
    "llama-bpe": _split(1),
    "llama3": _split(1),
    "qwen2": _split(2),
}
"""How texts are cut before merging, by `tokenizer.ggml.pre`."""


def gguf_tokenizer(metadata, where):
    """Returns the texts of tokenizer.json and tokenizer_config.json.

    Args:
        metadata: dict, that of `mdnn.foreign.gguf_header.GgufHeader`.
        where: the file, for errors.

    Returns:
        Tuple of two strings, the contents of the files.

    Raises:
        MdnnError: a damaged tokenizer, or an unknown one, which is named.
    """

    def read(name, kind, default=None):
        value = metadata.get(f"tokenizer.{name}", default)
        if not isinstance(value, kind) and value is not default:
            raise MdnnError(f"{where}: expected another tokenizer.{name} than {shown(value)}")
        return value

    model, tokens = read("ggml.model", str), read("ggml.tokens", list, ())
    if not all(isinstance(token, str) for token in tokens) or not 1 <= len(tokens) <= MAX_TOKENS:
        raise MdnnError(f"{where}: expected a list of strings as tokenizer.ggml.tokens")
    types = read("ggml.token_type", list, ()) or [1] * len(tokens)
    if len(types) != len(tokens):
        raise MdnnError(f"{where}: expected {len(tokens)} tokenizer.ggml.token_type")
    names = {}
    for name in ("bos", "eos"):
        number = read(f"ggml.{name}_token_id", int)
        if number is not None and 0 <= number < len(tokens):
            names[name] = tokens[number]
    bos = names.get("bos") if read("ggml.add_bos_token", bool, model == "llama") else None
    added = [
        added_token(number, token, types[number] == _CONTROL)
        for number, token in enumerate(tokens)
        if types[number] in (_CONTROL, _USER_DEFINED)
    ]
    if model == "gpt2":
        table = _byte_level(tokens, read("ggml.merges", list, ()), read("ggml.pre", str), where)
    elif model == "llama":
        scores = read("ggml.scores", list, ())
        if len(scores) != len(tokens) or not all(isinstance(one, (int, float)) for one in scores):
            raise MdnnError(f"{where}: expected {len(tokens)} tokenizer.ggml.scores")
        space = read("ggml.add_space_prefix", bool, True)
        table = sentencepiece_json(tokens, scores, space)
    else:
        raise MdnnError(f"{where}: unknown tokenizer {shown(model)}; known: gpt2, llama")
    table["added_tokens"] = added
    if bos is not None:
        table["post_processor"] = with_bos(bos, tokens.index(bos))
    about = {f"{name}_token": token for name, token in names.items()}
    if template := read("chat_template", str):
        about["chat_template"] = template
    text = json.dumps(table, ensure_ascii=False)
    read_tokenizer(text, where)
    return text, json.dumps(about, ensure_ascii=False)


def added_token(number, token, special):
    """Returns the entry of a token that is found in texts as a whole.

    Args:
        number: int, its id.
        token: str.
        special: bool, whether it is a control token.
    """
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, **flags, "special": special}


def with_bos(token, number):
    """Returns the post-processor that puts a token before each text."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, text],
        "pair": [first, text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [number], "tokens": [token]}},
    }


def _byte_level(tokens, merges, pre, where):
    pre = "default" if pre is None else pre
    if pre not in PRE_TOKENIZERS_OF:
        raise MdnnError(
            f"{where}: unknown tokenizer.ggml.pre {shown(pre)}; known: "
            f"{', '.join(PRE_TOKENIZERS_OF)}"
        )
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        raise MdnnError(f"{where}: expected distinct tokens")
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else ()
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocabulary.keys():
            raise MdnnError(
                f"{where}: expected merges of two known tokens, received {shown(merge)}"
            )
    return {
        "version": "1.0",
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": PRE_TOKENIZERS_OF[pre]},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "BPE",
            "vocab": vocabulary,
            "merges": merges,
            "ignore_merges": pre in ("llama-bpe", "llama3"),
        },
    }
