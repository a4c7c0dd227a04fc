"""A LLaMA network in plain numpy, to compare others with: independent of mdnn and slow."""

import numpy as np


def norm(x, scale, epsilon):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + epsilon) * scale


def rotated(x, positions, base):
    """Rotates neighboring channels of heads `[n, heads, h]`, as GGUF files need it."""
    size = x.shape[-1]
    angle = positions[:, None, None] * base ** (-np.arange(0, size, 2) / size)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = np.empty_like(x)
    turned[..., 0::2] = even * np.cos(angle) - odd * np.sin(angle)
    turned[..., 1::2] = even * np.sin(angle) + odd * np.cos(angle)
    return turned


def logits(weights, ids, heads, kv_heads, base=10_000.0, epsilon=1e-5):
    """Returns the logits of every position, float64 `[n, vocabulary]`.

    Args:
        weights: dict from GGUF names without `.weight` to arrays, matrices `[outputs, inputs]`.
        ids: token ids, `[n]`.
        heads, kv_heads: ints.
        base, epsilon: floats, of the rotary positions and the norms.
    """
    w = {name: np.asarray(array, "float64") for name, array in weights.items()}
    x, n = w["token_embd"][np.asarray(ids)], len(ids)
    positions, past = np.arange(n), np.tril(np.ones((n, n), bool))
    blocks = 1 + max(int(name.split(".")[1]) for name in w if name.startswith("blk."))
    for block in range(blocks):
        own = {name.split(".")[2]: a for name, a in w.items() if name.startswith(f"blk.{block}.")}
        h = norm(x, own["attn_norm"], epsilon)
        q = rotated((h @ own["attn_q"].T).reshape(n, heads, -1), positions, base)
        k = rotated((h @ own["attn_k"].T).reshape(n, kv_heads, -1), positions, base)
        v = (h @ own["attn_v"].T).reshape(n, kv_heads, -1)
        mixed = np.empty_like(q)
        for head in range(heads):
            shared = head * kv_heads // heads
            scores = q[:, head] @ k[:, shared].T / np.sqrt(q.shape[-1])
            scores = np.where(past, scores, -np.inf)
            scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed[:, head] = scores / scores.sum(axis=-1, keepdims=True) @ v[:, shared]
        x = x + mixed.reshape(n, -1) @ own["attn_output"].T
        h = norm(x, own["ffn_norm"], epsilon)
        gate, up = h @ own["ffn_gate"].T, h @ own["ffn_up"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ own["ffn_down"].T
    return norm(x, w["output_norm"], epsilon) @ w.get("output", w["token_embd"]).T


def read_gguf(path):
    """Reads a GGUF file with the package `gguf`; returns weights and the arguments of `logits`."""
    import gguf

    reader = gguf.GGUFReader(path)
    weights = {}
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        shape = tuple(int(size) for size in reversed(tensor.shape))
        weights[tensor.name.removesuffix(".weight")] = values.reshape(shape)
    field = {name: reader.fields[name].contents() for name in reader.fields if "llama." in name}
    return weights, {
        "heads": field["llama.attention.head_count"],
        "kv_heads": field["llama.attention.head_count_kv"],
        "base": field["llama.rope.freq_base"],
        "epsilon": field["llama.attention.layer_norm_rms_epsilon"],
    }
