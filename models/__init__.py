"""Keras models and their exact parameter counts: small CNNs, backbones with a head, the rows of the report.

This package sets how TensorFlow computes, so every process of ours imports it before TensorFlow.
"""

import os

# TensorFlow turns oneDNN on by itself only on CPUs with AVX-512 VNNI or similar instructions. On the others (AMD Zen 2
# and 3, Intel before Cascade Lake) small CNNs train three to seven times slower without it. TensorFlow reads this
# variable when it is imported.
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
USERS_ONEDNN = os.environ.get(ONEDNN) or None  # None: the user did not set it; TensorFlow takes an empty value for none
os.environ[ONEDNN] = USERS_ONEDNN or "1"


def users_environment() -> dict[str, str]:
    """The variables of this process as the user set them, for a process that decides about oneDNN by itself."""
    given = {key: value for key, value in os.environ.items() if key != ONEDNN}
    return given if USERS_ONEDNN is None else {**given, ONEDNN: USERS_ONEDNN}
