"""Keras models and their exact parameter counts: small CNNs, backbones with a head, the report's own rows.

Every process of ours that imports TensorFlow imports this package first: how TensorFlow computes is settled here.
"""

import os

# TensorFlow turns oneDNN on by itself only on CPUs with AVX-512 VNNI or the like. On the others (AMD Zen 2 and 3, Intel
# before Cascade Lake) small CNNs train three to seven times slower without it. TensorFlow reads this when it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
USERS_ONEDNN = os.environ.get(ONEDNN)  # None: the user left it to us
os.environ.setdefault(ONEDNN, "1")
