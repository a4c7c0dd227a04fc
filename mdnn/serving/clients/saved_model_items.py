"""Requests items from a SavedModel. Imports only TensorFlow, neither mdnn nor keras.

Usage: python ask_items.py SAVED_MODEL KIND OUT [FILE ...] [NAME=VALUE ...]

KIND is text, image, grey, audio or spectrum. Each FILE is a .txt, .png or .wav of the prompt, at
most one of each. NAME=VALUE: seed=0 temperature=0.8 decoding=autoregressive, and, where the
signature has them, samples=0 height=8 width=8 moments=32.
"""

import pathlib
import sys

SUFFIXES = {".txt": "text", ".png": "image", ".wav": "audio"}


def main(directory, kind, out, *words):
    """Loads the SavedModel in `directory` and writes its answer to the file `out`."""
    # Fails if the SavedModel depends on the packages that made it.
    sys.modules["mdnn"] = sys.modules["keras"] = None
    import tensorflow as tf

    inputs = {"text": b"", "image": b"", "audio": b""}
    settings = {"seed": "0", "temperature": "0.8", "decoding": "autoregressive"}
    for word in words:
        if "=" in word:
            name, _, settings[name] = word.partition("=")
        else:
            path = pathlib.Path(word)
            inputs[SUFFIXES[path.suffix]] = path.read_bytes()
    signature = tf.saved_model.load(directory).signatures[f"answer_{kind}"]
    inputs = {name: tf.constant([data]) for name, data in inputs.items()}
    dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
    for name in dtypes.keys() - inputs.keys():
        value = settings.get(name, "0")
        value = tf.constant(value)
        inputs[name] = value if name == "decoding" else tf.strings.to_number(value, dtypes[name])
    (answer,) = signature(**inputs).values()
    pathlib.Path(out).write_bytes(answer.numpy()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
