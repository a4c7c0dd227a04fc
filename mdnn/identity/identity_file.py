"""Reads and writes identities, with a hash of the network that each belongs to."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
from keras import ops

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.runs.safetensors_io import opened, read_arrays, write_arrays

FORMAT = "mdnn identity 1"
SUFFIX = ".safetensors"
KINDS = ("offset", "lora")

SLOTS = "slots"
"""Name of the array of learned slots."""

FINGERPRINT = "network_fingerprint"
"""Key of `Run.cache` for the result of `fingerprint_of`."""


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    """Learned numbers that change what the blocks of one network compute.

    Args:
        kind: `"offset"`: per block an offset before its activation and a gain after it; `"lora"`:
            per dense layer two narrow matrices whose product is added to its kernel.
        arrays: dict from names to float32 arrays: `BLOCK.offset` and `BLOCK.gain`, or
            `BLOCK.DENSE.a` and `BLOCK.DENSE.b`; perhaps `slots` `[slots, width]`, the vectors of
            the first positions of a context.
        network: str, the fingerprint of its network.
        about: dict of what is known of its training: `source`, `steps`, `loss_before`, `loss`.
    """

    kind: str
    arrays: dict
    network: str
    about: dict = dataclasses.field(default_factory=dict)

    @property
    def numbers(self):
        """Number of learned values, int."""
        return sum(array.size for array in self.arrays.values())

    @property
    def slots(self):
        """int, number of learned slots."""
        array = self.arrays.get(SLOTS)
        return 0 if array is None or array.ndim != 2 else len(array)

    def write(self, path):
        """Writes the identity as a safetensors file."""
        table = {"kind": self.kind, "network": self.network, "about": json.dumps(self.about)}
        write_arrays(path, self.arrays, {"format": FORMAT, **table})


def read_identity(path):
    """Reads an identity.

    Args:
        path: a file that `mdnn adapt` made; an `Identity` is returned as it is.

    Raises:
        MdnnError: there is no file, or it is not an identity.
    """
    if isinstance(path, Identity):
        return path
    path = as_path(path, "identity")
    if not path.exists():
        raise MdnnError(f"identity: no such file: {path}")
    with opened(path) as file:
        about = file.metadata() or {}
    if about.get("format") != FORMAT or about.get("kind") not in KINDS:
        raise MdnnError(f"{path} is not an identity: expected a file that mdnn adapt made")
    arrays, about = read_arrays(path)
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
        raise MdnnError(f"{path} is not an identity: expected finite float32 numbers")
    try:
        facts = json.loads(about["about"])
    except (KeyError, ValueError, RecursionError):
        facts = {}
    facts = facts if isinstance(facts, dict) else {}
    return Identity(about["kind"], arrays, str(about.get("network")), facts)


def is_identity(path):
    """Returns whether a path is a file that may hold an identity."""
    path = Path(path)
    return path.suffix == SUFFIX and path.is_file()


def identity_facts(path):
    """Returns the facts of an identity for `mdnn inspect`, a dict."""
    identity = read_identity(path)
    return {
        "kind": identity.kind,
        "numbers": identity.numbers,
        "slots": identity.slots,
        "network": identity.network,
        "arrays": {name: list(array.shape) for name, array in sorted(identity.arrays.items())},
        **identity.about,
    }


def fingerprint_of(run):
    """Returns the fingerprint of a run's network: a hash of its weights, 32 hexadecimal digits.

    Args:
        run: `mdnn.runs.run_folder.Run`.
    """
    known = run.cache.get(FINGERPRINT)
    if known is None or run.path is None:
        digest = hashlib.sha256()
        for weight in sorted(run.unpacked.weights, key=lambda weight: weight.path):
            array = np.ascontiguousarray(ops.convert_to_numpy(weight))
            digest.update(f"{weight.path} {array.shape} {array.dtype}".encode())
            digest.update(array.tobytes())
        known = digest.hexdigest()[:32]
        run.cache[FINGERPRINT] = known
    return known
