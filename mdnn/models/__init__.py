"""Networks: layers, building, forward passes, losses and caches."""

from mdnn.keras_settings import import_keras

# Before a module imports Keras itself: its settings are refused in one line.
import_keras()
