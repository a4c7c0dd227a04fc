"""What stands behind `mdnn/layer.py`: the layers and weights of the paper's own layer.py."""
