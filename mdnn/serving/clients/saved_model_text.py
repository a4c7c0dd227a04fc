"""Requests text from a SavedModel. Imports only TensorFlow, neither mdnn nor keras.

Usage: python ask.py SAVED_MODEL PROMPT [LENGTH [TEMPERATURE [SEED]]]
"""

import sys


def main(directory, prompt, length="300", temperature="0.8", seed="0"):
    """Loads the SavedModel in `directory` and prints its continuation of `prompt`.

    Args:
        directory: str, the SavedModel's folder.
        prompt: str.
        length, temperature, seed: str, numbers as `generate` takes them.
    """
    # Fails if the SavedModel depends on the packages that made it.
    sys.modules["mdnn"] = sys.modules["keras"] = None
    import tensorflow as tf

    model = tf.saved_model.load(directory)
    answer = model.signatures["generate"](
        prompt=tf.constant([prompt]),
        length=tf.constant(int(length)),
        temperature=tf.constant(float(temperature)),
        seed=tf.constant(int(seed)),
    )
    sys.stdout.buffer.write(answer["text"].numpy()[0] + b"\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
