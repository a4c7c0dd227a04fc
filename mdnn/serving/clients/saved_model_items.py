"""Requests items from a SavedModel. Imports only TensorFlow, neither mdnn nor keras.

Usage: python ask_items.py SAVED_MODEL KIND OUT [FILE ...] [NAME=VALUE ...]

KIND is text, image, grey, audio or spectrum. Each FILE is a .txt, .png or .wav of the prompt, at
most one of each. NAME=VALUE: seed=0 temperature=0.8 decoding=autoregressive, and, where the
signature has them, samples=0 height=8 width=8 moments=32. With guidance_scale=3 negative_text=WORD
(several times for several; negative_image=FILE, negative_audio=FILE) or revise=5 the signature is
guided_KIND.
"""

import pathlib
import sys

SUFFIXES = {".txt": "text", ".png": "image", ".wav": "audio"}
GUIDED = ("guidance_scale", "negative_text", "negative_image", "negative_audio", "revise")


def main(directory, kind, out, *words):
    """Loads the SavedModel in `directory` and writes its answer to the file `out`.

    Args:
        directory: str, the SavedModel's folder.
        kind: str, the kind of the answer.
        out: str, the file to write.
        *words: files of the prompt and `NAME=VALUE`, see above.
    """
    # Fails if the SavedModel depends on the packages that made it.
    sys.modules["mdnn"] = sys.modules["keras"] = None
    import tensorflow as tf

    inputs = {"text": b"", "image": b"", "audio": b""}
    settings = {"seed": "0", "temperature": "0.8", "decoding": "autoregressive"}
    negative, guided = {}, False
    for word in words:
        name, equals, value = word.partition("=")
        guided |= bool(equals) and name in GUIDED
        if not equals:
            path = pathlib.Path(word)
            inputs[SUFFIXES[path.suffix]] = path.read_bytes()
        elif name.startswith("negative_"):
            data = value.encode() if name == "negative_text" else pathlib.Path(value).read_bytes()
            negative.setdefault(name, []).append(data)
        else:
            settings[name] = value
    form = "guided" if guided else "answer"
    signature = tf.saved_model.load(directory).signatures[f"{form}_{kind}"]
    inputs = {name: tf.constant([data]) for name, data in inputs.items()}
    dtypes = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
    for name in dtypes.keys() - inputs.keys():
        if name.startswith("negative_"):
            files = negative.get(name, [])
            inputs[name] = tf.constant([files], tf.string, shape=[1, len(files)])
            continue
        value = settings.get(name, "1" if name == "guidance_scale" else "0")
        value = tf.constant(value)
        inputs[name] = value if name == "decoding" else tf.strings.to_number(value, dtypes[name])
    (answer,) = signature(**inputs).values()
    pathlib.Path(out).write_bytes(answer.numpy()[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
