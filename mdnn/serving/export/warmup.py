"""Writes the warm-up requests that TensorFlow Serving runs before it accepts others.

TensorFlow Serving reads `assets.extra/tf_serving_warmup_requests`, a TFRecord file of
`tensorflow.serving.PredictionLog` messages. Their classes come with the package
tensorflow-serving-api, gRPC and all; the two levels of nesting needed here are written by hand
(field numbers: prediction_log.proto, predict.proto and model.proto), and a test reads them
back with that package.
"""

import tensorflow as tf

FILE = "assets.extra/tf_serving_warmup_requests"
PREDICT_LOG, REQUEST = 6, 1
MODEL_SPEC, INPUTS = 1, 2
SIGNATURE_NAME = 3
KEY, VALUE = 1, 2


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number, payload):
    """Returns a length-delimited protocol buffer field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def prediction_log(signature, inputs):
    """Returns a serialized PredictionLog of one request.

    Args:
        signature: name of the signature.
        inputs: dict of tensors.

    Returns:
        bytes.
    """
    request = _field(MODEL_SPEC, _field(SIGNATURE_NAME, signature.encode()))
    for name, tensor in inputs.items():
        proto = tf.make_tensor_proto(tensor).SerializeToString()
        request += _field(INPUTS, _field(KEY, name.encode()) + _field(VALUE, proto))
    return _field(PREDICT_LOG, _field(REQUEST, request))


def write_warmup(path, examples):
    """Writes requests (pairs of signature and inputs) into the SavedModel at `path`."""
    file = path / FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for signature, inputs in examples:
            writer.write(prediction_log(signature, inputs))
