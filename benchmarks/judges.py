"""Plain classifiers that say which digit a picture or a sound is, trained on real ones only."""

import numpy as np

FRAMES, BANDS = 24, 24
QUIET = 0.02
"""Silence at the ends, below this share of the loudest sample, is cut from sounds."""


def trimmed(samples):
    """Returns a sound without the silence at its ends; one of silence alone as it is."""
    height = np.abs(np.asarray(samples, dtype="float64"))
    loud = np.flatnonzero(height > QUIET * height.max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def spectrogram(samples, rate):
    """Logarithms of power in mel bands, float64 `[FRAMES, BANDS]`, whatever the sound's length.

    Windows of 32 ms every 8 ms, resampled along time to `FRAMES` frames; the mean is taken off,
    so that loudness does not matter. Mel scale: 2595 log10(1 + f / 700), O'Shaughnessy 1987.
    """
    samples = np.asarray(samples, dtype="float64") / 32_768
    window, hop, size = round(rate * 0.032), max(1, round(rate * 0.008)), 512
    if len(samples) < window + hop:
        samples = np.pad(samples, (0, window + hop - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    power = np.abs(np.fft.rfft(frames * np.hanning(window), size)) ** 2
    mel = 2595 * np.log10(1 + np.fft.rfftfreq(size, 1 / rate) / 700)
    edges = np.linspace(2595 * np.log10(1 + 50 / 700), mel[-1], BANDS + 2)
    rising = (mel - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mel) / (edges[2:] - edges[1:-1])[:, None]
    found = np.log(power @ np.clip(np.minimum(rising, falling), 0, None).T + 1e-6)
    at = np.linspace(0, len(found) - 1, FRAMES)
    found = np.stack([np.interp(at, np.arange(len(found)), band) for band in found.T], axis=-1)
    return found - found.mean()


class Judge:
    """A support vector machine on features that all have one length.

    Args:
        features: function from an item's array to a vector.
        values: list of arrays to learn from.
        digits: their digits.
    """

    def __init__(self, features, values, digits):
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC

        self.features = features
        self.classifier = make_pipeline(StandardScaler(), SVC(C=10.0))
        self.classifier.fit(self._all(values), digits)

    def _all(self, values):
        return np.stack([np.ravel(self.features(value)) for value in values])

    def __call__(self, values):
        """The digit of each array."""
        return self.classifier.predict(self._all(values))

    def share(self, values, digits):
        """The share of arrays that are the digit that they should be."""
        return float(np.mean(self(values) == np.asarray(digits)))


def picture_judge(values, digits):
    """The judge of uint8 pictures `[8, 8]`."""
    return Judge(lambda picture: picture.astype("float64"), values, digits)


def sound_judge(values, digits, rate):
    """The judge of int16 sounds at `rate` samples per second, whatever silence surrounds them."""
    return Judge(lambda samples: spectrogram(trimmed(samples), rate), values, digits)
