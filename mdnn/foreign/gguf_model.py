"""Reads a GGUF file of the architecture `llama`: shape, weights and tokenizer."""

from pathlib import Path

import numpy as np

from mdnn.errors import MdnnError, shown
from mdnn.foreign.gguf_header import read_header
from mdnn.foreign.gguf_tokenizer import gguf_tokenizer
from mdnn.foreign.gguf_weights import check_matrix, read_rows
from mdnn.foreign.llama_shape import LlamaShape

_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "result": "attn_output",
    "hidden_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_TOP = {"embedding": "token_embd", "norm": "output_norm", "head": "output"}


class GgufModel:
    """A GGUF file with the methods that `mdnn.foreign.import_run` needs.

    Args:
        path: `pathlib.Path` of the file.

    Attributes:
        shape: `LlamaShape`.
        vocabulary: tuple of the two texts of the tokenizer.

    Raises:
        MdnnError: a damaged file, or an unknown network or tokenizer, which the error names.
    """

    def __init__(self, path):
        self.path = Path(path)
        header = read_header(self.path)
        self.tensors, metadata = header.tensors, header.metadata
        architecture = metadata.get("general.architecture")
        if architecture != "llama":
            raise MdnnError(f"{path}: unknown architecture {shown(architecture)}; known: llama")
        self.shape = self._shape(metadata).check(path)
        names = {self._name(name): shape for name, shape in self.shape.matrices().items()}
        if unknown := sorted(set(self.tensors) - set(names)):
            raise MdnnError(
                f"{path}: a network with the tensor {shown(unknown[0])} is not known to mdnn"
            )
        for name, shape in names.items():
            check_matrix(name, self.tensors.get(name), shape, path)
        self.vocabulary = gguf_tokenizer(metadata, path)

    def _shape(self, metadata):
        def number(name, default=None, kind=int):
            value = metadata.get(f"llama.{name}", default)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise MdnnError(
                    f"{self.path}: expected one number as llama.{name}, received {shown(value)}"
                )
            return kind(value)

        experts, scaling = metadata.get("llama.expert_count"), "llama.rope.scaling.type"
        if experts:
            raise MdnnError(
                f"{self.path}: networks of experts (llama.expert_count) are not supported"
            )
        if metadata.get(scaling, "none") != "none":
            raise MdnnError(f"{self.path}: unknown {scaling} {shown(metadata[scaling])}")
        width, heads = number("embedding_length"), number("attention.head_count")
        per_head = width // max(1, heads)
        for name in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
            if number(name, per_head) != per_head:
                raise MdnnError(
                    f"{self.path}: expected llama.{name} = {per_head}, received {number(name)}"
                )
        table = self.tensors.get("token_embd.weight")
        return LlamaShape(
            vocabulary=table.shape[0] if table is not None else 0,
            width=width,
            hidden=number("feed_forward_length"),
            blocks=number("block_count"),
            heads=heads,
            kv_heads=number("attention.head_count_kv", heads),
            context=number("context_length"),
            rotary_base=number("rope.freq_base", 10_000.0, float),
            epsilon=number("attention.layer_norm_rms_epsilon", kind=float),
            tied="output.weight" not in self.tensors,
        )

    @staticmethod
    def _name(name):
        block, _, name = name.rpartition(".")
        return f"blk.{block}.{_NAMES[name]}.weight" if block else f"{_TOP[name]}.weight"

    def rows(self, name):
        """Reads a weight; see `mdnn.foreign.stored_rows`.

        Args:
            name: a name of `LlamaShape.matrices`.
        """
        found = read_rows(self.path, self.tensors[self._name(name)])
        if name.endswith((".query", ".key")):
            return found.taken(halves_of_pairs(found.shape[0], self.shape))
        return found


def halves_of_pairs(rows, shape):
    """Returns the order of rows of q or k in which a head's rotated pairs lie in two halves.

    GGUF and llama2.c rotate neighboring channels, mdnn and Hugging Face channel `c` with
    `c + h/2`.

    Args:
        rows: int, number of rows.
        shape: `LlamaShape`.
    """
    size = shape.width // shape.heads
    return np.arange(rows).reshape(-1, size // 2, 2).swapaxes(1, 2).reshape(-1)
