"""Tiny files of other projects, written with packages that are not mdnn's."""

import json
import struct

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as Type

WIDTH, HIDDEN, BLOCKS, HEADS, KV_HEADS, CONTEXT = 32, 64, 2, 4, 2, 24
SHARED = WIDTH // HEADS * KV_HEADS
BASE, EPSILON = 5000.0, 1e-5

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
WORDS = ["▁", "t", "h", "e", "c", "a", "▁t", "he", "▁the", "at", "▁c", "▁cat"]
TOKENS = ["<unk>", "<s>", "</s>", *BYTES, *WORDS]
"""A SentencePiece vocabulary; what comes first is joined first."""
SCORES = [0.0] * 259 + [-float(n) for n in range(len(WORDS))]
TYPES = [2, 3, 3, *[6] * 256, *[1] * len(WORDS)]
VOCABULARY = 288
"""Number of rows of the table: more than there are tokens, as in files that fill it up."""
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def weights(seed=0, hidden=HIDDEN, width=WIDTH, scale=0.3):
    """Returns random weights by their names in GGUF files, float32 `[outputs, inputs]`."""
    draw = np.random.default_rng(seed)
    shared = width // HEADS * KV_HEADS

    def matrix(rows, columns):
        return (draw.standard_normal((rows, columns)) * scale).astype("float32")

    found = {"token_embd": matrix(VOCABULARY, width), "output_norm": 1 + matrix(1, width)[0]}
    for n in range(BLOCKS):
        found |= {
            f"blk.{n}.attn_norm": 1 + matrix(1, width)[0],
            f"blk.{n}.attn_q": matrix(width, width),
            f"blk.{n}.attn_k": matrix(shared, width),
            f"blk.{n}.attn_v": matrix(shared, width),
            f"blk.{n}.attn_output": matrix(width, width),
            f"blk.{n}.ffn_norm": 1 + matrix(1, width)[0],
            f"blk.{n}.ffn_gate": matrix(hidden, width),
            f"blk.{n}.ffn_up": matrix(hidden, width),
            f"blk.{n}.ffn_down": matrix(width, hidden),
        }
    return found


def write_gguf(path, kind="F32", tied=True, width=WIDTH, changes=None):
    """Writes a GGUF file; returns its weights as they are in the file, float32.

    Args:
        path: the file.
        kind: name of the type of all matrices.
        tied: whether there is no `output.weight`.
        width: channels.
        changes: dict of metadata that are other than a good file's; `None` leaves one out.
    """
    writer, changes = gguf.GGUFWriter(path, "llama"), changes or {}
    fields = {
        "llama.block_count": BLOCKS,
        "llama.embedding_length": width,
        "llama.feed_forward_length": 2 * width,
        "llama.context_length": CONTEXT,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.rope.freq_base": BASE,
        "llama.attention.layer_norm_rms_epsilon": EPSILON,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": TEMPLATE,
    } | changes
    for name, value in fields.items():
        add = {str: writer.add_string, int: writer.add_uint32, float: writer.add_float32}
        if value is not None:
            add[type(value)](name, value)
    writer.add_token_list(TOKENS)
    writer.add_token_scores(SCORES)
    writer.add_token_types(TYPES)
    read, type_ = {}, Type[kind]
    arrays = weights(width=width, hidden=2 * width)
    if not tied:
        arrays["output"] = weights(seed=1, width=width)["token_embd"]
    for name, array in arrays.items():
        if array.ndim == 1 or kind == "F32":
            read[name] = array
            writer.add_tensor(f"{name}.weight", array)
            continue
        data = array.astype("float16") if kind == "F16" else codes_of(array, type_)
        read[name] = gguf.quants.dequantize(data.view("uint8") if kind == "BF16" else data, type_)
        read[name] = read[name].reshape(array.shape)
        writer.add_tensor(f"{name}.weight", data, raw_dtype=type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return read


def codes_of(array, type_):
    """Returns the bytes of a quantized array: quantized, or of K-quants any that are valid."""
    if type_ not in (Type.Q4_K, Type.Q6_K):
        return gguf.quants.quantize(array, type_)
    block, size = gguf.GGML_QUANT_SIZES[type_]
    draw = np.random.default_rng(array.size)
    data = draw.integers(0, 256, (len(array), array.shape[1] // block, size)).astype("uint8")
    scales = np.array([2e-4, 3e-3], "float16").view("uint8")
    if type_ == Type.Q4_K:
        data[..., :4] = scales
    else:
        data[..., -2:] = scales[:2]
    return data.reshape(len(array), -1)


def write_llama2c(path, tokenizer):
    """Writes a file of llama2.c and its tokenizer; returns its weights by their GGUF names."""
    found = weights()
    order = [f"{name}" for name in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output")]
    order += ["ffn_norm", "ffn_gate", "ffn_down", "ffn_up"]
    arrays = [found["token_embd"]]
    arrays += [found[f"blk.{n}.{name}"] for name in order for n in range(BLOCKS)]
    arrays += [found["output_norm"], np.zeros(CONTEXT * WIDTH // HEADS, "float32")]
    head = struct.pack("<7i", WIDTH, HIDDEN, BLOCKS, HEADS, KV_HEADS, VOCABULARY, CONTEXT)
    path.write_bytes(head + b"".join(array.astype("<f4").tobytes() for array in arrays))
    rest = [f"<more{n}>" for n in range(VOCABULARY - len(TOKENS))]
    body = struct.pack("<i", 16)
    scores = SCORES + [-1e9] * len(rest)
    for token, score in zip([*TOKENS, *rest], scores, strict=True):
        data = token.replace("▁", " ").encode()
        body += struct.pack("<fi", score, len(data)) + data
    tokenizer.write_bytes(body)
    return found


_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def turned_pairs(rows):
    """Returns where the rows of q or k of a GGUF file stand in a Hugging Face file."""
    return rows.reshape(-1, WIDTH // HEADS // 2, 2, WIDTH).swapaxes(1, 2).reshape(-1, WIDTH)


def write_hugging_face(folder, vocabulary, changes=None):
    """Writes a Hugging Face folder in two shards; returns its weights by their GGUF names.

    Args:
        folder: the folder.
        vocabulary: the texts of tokenizer.json and tokenizer_config.json.
        changes: dict of keys of config.json that are other than a good file's.
    """
    found, shards = weights(), [{}, {}]
    for name, array in found.items():
        if name.startswith("blk."):
            _, block, word = name.split(".")
            turned = turned_pairs(array) if word in ("attn_q", "attn_k") else array
            shards[int(block)][f"model.layers.{block}.{_NAMES[word]}.weight"] = turned
        else:
            other = {"token_embd": "embed_tokens", "output_norm": "norm"}[name]
            shards[0][f"model.{other}.weight"] = array
    for number, shard in enumerate(shards):
        safetensors.numpy.save_file(shard, folder / f"model-{number}.safetensors")
    config = {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": HIDDEN,
        "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "rope_theta": BASE,
        "rms_norm_eps": EPSILON,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
    } | (changes or {})
    (folder / "config.json").write_text(json.dumps(config))
    for name, text in zip(("tokenizer.json", "tokenizer_config.json"), vocabulary, strict=True):
        (folder / name).write_text(text)
    return found
