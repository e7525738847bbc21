"""Keras models and their exact parameter counts: small CNNs, backbones with a head, the rows of the report.

This package sets how TensorFlow computes, so every process of ours imports it before TensorFlow.
"""

import os

# TensorFlow turns oneDNN on by itself only on CPUs with AVX-512 VNNI or similar instructions. On the others (AMD Zen 2
# and 3, Intel before Cascade Lake) small CNNs train three to seven times slower without it. TensorFlow reads this
# variable when it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
USERS_ONEDNN = os.environ.get(ONEDNN)  # None: the user did not set it
os.environ.setdefault(ONEDNN, "1")
