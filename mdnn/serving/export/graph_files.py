"""PNG and WAV files inside a TensorFlow graph: bytes to tokens, and back.

What a header says is checked before anything is decoded or allocated. What is refused is an
InvalidArgumentError of one line that names the prompt and the item.
"""

import tensorflow as tf

PNG = b"\x89PNG\r\n\x1a\n"

# Chunks of a file that are looked at: more are made to keep a server busy.
MOST_CHUNKS = 10_000

_COLOURS = ("grey", "type 1", "RGB", "palette", "grey with alpha", "type 5", "RGB with alpha")
_PCM, _EXTENSIBLE = 1, 0xFFFE


def require(good, *message):
    """Returns an assertion that fails with one line about the first invalid entry.

    Args:
        good: bool tensor, one value or `[batch]`.
        message: strings and tensors of the shape of `good`, joined.

    Returns:
        The operation, for `tf.control_dependencies`.
    """
    good = tf.convert_to_tensor(good)
    parts = [
        part if isinstance(part, str) or part.dtype == tf.string else tf.as_string(part)
        for part in message
    ]
    lines = tf.reshape(tf.strings.join([tf.fill(tf.shape(good), ""), *parts]), [-1])
    wrong = tf.boolean_mask(lines, tf.reshape(tf.logical_not(good), [-1]))
    return tf.debugging.Assert(tf.reduce_all(good), [wrong[:1]])


def png_rows(data, number, most, kinds, known):
    """Returns the pixels of a PNG.

    Args:
        data: str, one file.
        number: int32, the prompt's, for errors.
        most: int, pixels at most.
        kinds: dict from `"grey"` and `"image"`, those that are taken, to the modality's index.
        known: str, the kinds of item that are taken, for errors.

    Returns:
        int32 `[pixels, 7]`: modality, bytes, coordinates.
    """
    name = _name("image", number)
    data = _checked(tf.strings.substr(data, 0, 8) == PNG, data, name, "expected a PNG file")
    head = _bytes(data, 0, 33)
    width, height = _number(head[16:20]), _number(head[20:24])
    depth, colour = head[24], head[25]
    received = tf.gather(_COLOURS, tf.minimum(colour, len(_COLOURS) - 1))
    is_grey = colour == 0
    sizes = tf.strings.join([tf.as_string(width), " x ", tf.as_string(height)])
    taken = (is_grey & ("grey" in kinds)) | ((colour == 2) & ("image" in kinds))
    for good, *message in (
        (_size(data) >= 33, "a truncated PNG: it ends in its header"),
        (tf.strings.substr(data, 8, 8) == b"\0\0\0\x0dIHDR", "a PNG without a header (IHDR)"),
        (
            (depth == 8) & (is_grey | (colour == 2)),
            "expected a PNG of 8-bit RGB or grey, received ",
            depth,
            "-bit ",
            received,
        ),
        (
            taken,
            f"expected an item of the kinds {known}, received ",
            tf.where(is_grey, "grey", "image"),
        ),
        ((width > 0) & (height > 0), "a PNG without pixels: ", sizes),
        (
            (width <= most) & (height <= most) & (width * height <= most),
            sizes,
            f" pixels, this network takes {most} at most",
        ),
    ):
        data = _checked(good, data, name, *message)
    data = _whole_png(data, name)
    pixels = tf.cast(tf.io.decode_png(data, channels=3), tf.int32)
    # The decoded picture's width: an untrusted header must not set sizes.
    width = tf.shape(pixels)[1]
    pixels = tf.reshape(pixels, [-1, 3])
    if len(kinds) > 1:
        kind = tf.where(is_grey, kinds["grey"], kinds["image"])
    else:
        (kind,) = kinds.values()
    # A grey pixel has one byte.
    pixels = tf.where(is_grey, pixels * [1, 0, 0], pixels)
    index = tf.range(tf.shape(pixels)[0])
    rows = [index * 0 + kind, *tf.unstack(pixels, axis=1), index // width, index % width, index * 0]
    return tf.stack(rows, axis=1)


def _whole_png(data, name):
    """Returns the PNG after a check that it has all chunks, no transparency and no frames."""
    size = _size(data)

    def step(at, tag, strange):
        head = _bytes(data, at, 8)
        tag = tf.strings.substr(data, tf.minimum(at + 4, size), 4)
        strange |= (tag == b"tRNS") | (tag == b"acTL")
        return at + 12 + _number(head[:4]), tag, strange

    at, tag, strange = tf.while_loop(
        lambda at, tag, _: (tag != b"IEND") & (at < size),
        step,
        (tf.constant(8, tf.int64), tf.constant(b""), tf.constant(False)),
        maximum_iterations=MOST_CHUNKS,
    )
    data = _checked((tag == b"IEND") | (at >= size), data, name, f"more than {MOST_CHUNKS} chunks")
    whole = (tag == b"IEND") & (at <= size)
    data = _checked(whole, data, name, "a truncated PNG of ", size, " bytes")
    return _checked(
        ~strange, data, name, "expected one picture without transparency, received a tRNS or acTL"
    )


def wav_rows(data, number, most, kind, rate):
    """Returns the samples of a WAV as tokens.

    Args:
        kind: int, the modality's index.
        data, number, most, rate: see `wav_samples`.

    Returns:
        int32 `[samples, 7]`: modality, bytes, coordinates.
    """
    unsigned = wav_samples(data, number, most, rate) + 32_768
    index = tf.range(tf.size(unsigned))
    zeros = tf.zeros_like(index)
    rows = [zeros + kind, unsigned // 256, unsigned % 256, zeros, index, zeros, zeros]
    return tf.stack(rows, axis=1)


def wav_samples(data, number, most, rate):
    """Returns the samples of a WAV.

    Args:
        data: str, one file.
        number: int32, the prompt's, for errors.
        most: int, samples at most.
        rate: int, samples per second that are expected.

    Returns:
        int32 `[samples]`.
    """
    name = _name("audio", number)
    riff = tf.strings.substr(data, 0, 4) == b"RIFF"
    # Substrings must begin inside: of a shorter file the eighth byte is its end.
    wave = tf.strings.substr(data, tf.minimum(8, tf.strings.length(data)), 4) == b"WAVE"
    data = _checked(riff & wave, data, name, "expected a WAV file of 16-bit PCM")
    end = tf.minimum(_size(data), 8 + _number(_bytes(data, 4, 4), little=True))

    def step(at, found, form, start, promised):
        tag = tf.strings.substr(data, tf.minimum(at, end), 4)
        length = _number(_bytes(data, at + 4, 4), little=True)
        form = tf.where(tag == b"fmt ", at + 8, form)
        found = tag == b"data"
        start, promised = (
            tf.where(found, new, old) for new, old in ((at + 8, start), (length, promised))
        )
        return at + 8 + length + length % 2, found, form, start, promised

    zero = tf.zeros([], tf.int64)
    at, found, form, start, promised = tf.while_loop(
        lambda at, found, *_: ~found & (at + 8 <= end),
        step,
        (zero + 12, tf.constant(False), zero, zero, zero),
        maximum_iterations=MOST_CHUNKS,
    )
    looked = found | (at + 8 > end)
    data = _checked(looked, data, name, f"more than {MOST_CHUNKS} chunks")
    data = _checked(found & (form > 0), data, name, "a truncated or damaged WAV: its header")
    head = _bytes(data, form, 26)
    code, channels, own, bits, sub = (
        _number(head[k:stop], little=True)
        for k, stop in ((0, 2), (2, 4), (4, 8), (14, 16), (24, 26))
    )
    code = tf.where(code == _EXTENSIBLE, sub, code)
    promised, there = promised // 2, tf.maximum(end - start, 0) // 2
    for good, *message in (
        (
            (code == _PCM) & (bits == 16),
            "expected a WAV file of 16-bit PCM, received format ",
            code,
            " of ",
            bits,
            " bits",
        ),
        (channels == 1, "expected one channel (mono), received ", channels, ": mix them first"),
        (
            own == rate,
            f"expected {rate} samples per second, received ",
            own,
            ": resample it first",
        ),
        (
            promised <= there,
            "a truncated WAV: its header promises ",
            promised,
            " samples, received ",
            there,
        ),
        (promised > 0, "a sound without samples"),
        (promised <= most, promised, f" samples, this network takes {most} at most"),
    ):
        data = _checked(good, data, name, *message)
    samples = tf.io.decode_raw(tf.strings.substr(data, start, 2 * promised), tf.int16)
    return tf.cast(samples, tf.int32)


def png(tokens, height, width, channels):
    """Returns pictures as PNG files.

    Args:
        tokens: int32 `[batch, n, 4]`, modality and bytes, as many as the largest has pixels.
        height, width: int32 `[batch]`.
        channels: int, 3 or 1 (grey).

    Returns:
        string `[batch]`.
    """
    pixels = tf.cast(tokens[..., 1 : 1 + channels], tf.uint8)

    def one(row):
        pixels, height, width = row
        picture = tf.reshape(pixels[: height * width], [height, width, channels])
        return tf.io.encode_png(picture)

    return tf.map_fn(one, (pixels, height, width), fn_output_signature=tf.string)


def wav(tokens, count, rate):
    """Returns sounds as WAV files, 16-bit PCM.

    Args:
        tokens: int32 `[batch, n, 4]`, modality and bytes.
        count: int32 `[batch]`, samples of each.
        rate: int, samples per second.

    Returns:
        string `[batch]`.
    """
    samples = tokens[..., 1] * 256 + tokens[..., 2] - 32_768
    # The encoder takes numbers from -1 to 1; these are exact.
    samples = tf.cast(samples, tf.float32) / 32_768

    def one(row):
        samples, count = row
        return tf.audio.encode_wav(samples[:count, None], rate)

    return tf.map_fn(one, (samples, count), fn_output_signature=tf.string)


def _name(kind, number):
    return tf.strings.join(["prompt ", tf.as_string(number + 1), f": {kind}: "])


def _checked(good, data, name, *message):
    """Returns `data` after asserting a condition in the graph."""
    with tf.control_dependencies([require(good, name, *message)]):
        return tf.identity(data)


def _size(data):
    return tf.cast(tf.strings.length(data), tf.int64)


def _bytes(data, at, count):
    """Returns `count` bytes from `at` on, zeros after the end, int64 `[count]`."""
    at = tf.minimum(tf.cast(at, tf.int64), _size(data))
    part = tf.strings.substr(data, at, tf.constant(count, tf.int64))
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int64)


def _number(digits, little=False):
    """Converts bytes to the integer that they encode, int64."""
    powers = [256**k for k in range(digits.shape[0])]
    powers = tf.constant(powers if little else powers[::-1], tf.int64)
    return tf.reduce_sum(digits * powers)
