"""Implements `mdnn.layer`: the layers and weight files of the paper's layer.py ("lineage")."""
