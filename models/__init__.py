"""Keras models and their exact parameter counts: small CNNs, backbones with a head, the report's own rows."""
