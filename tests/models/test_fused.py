import numpy as np
import pytest

from models.cnn import CnnConfig, build_cnn

CONFIG = CnnConfig(layers=2, filters=4, batch_norm="conv+flatten")
CONFIGS = [CONFIG, CnnConfig(layers=2, filters=4, batch_norm="block"), CnnConfig(layers=2, kernel=4, padding="same")]


def trained(config: CnnConfig, fused: bool) -> tuple[list[np.ndarray], float]:
    """Weights and loss after three steps on made-up images."""
    rng = np.random.default_rng(0)
    images, targets = rng.random((8, 24, 24, 1), dtype=np.float32), np.arange(8, dtype=np.float32)[:, None] % 2
    model = build_cnn(config, (24, 24, 1), classes=2, seed=1, fused=fused)
    model.compile("sgd", "binary_crossentropy", jit_compile=False)
    for _ in range(3):
        loss = model.train_on_batch(images, targets)
    return model.get_weights(), float(loss)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_fused_layers_train_like_keras_own(config: CnnConfig) -> None:
    (weights, loss), (expected, expected_loss) = trained(config, True), trained(config, False)
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert [weight.shape for weight in weights] == [weight.shape for weight in expected]
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
def test_predictions_with_the_same_weights_are_the_same(config: CnnConfig) -> None:
    images = np.random.default_rng(1).random((4, 24, 24, 1), dtype=np.float32)
    fused, plain = (build_cnn(config, (24, 24, 1), 2, seed=2, fused=choice) for choice in (True, False))
    plain.set_weights(fused.get_weights())
    np.testing.assert_allclose(fused(images), plain(images), rtol=1e-6)


@pytest.mark.parametrize("config", CONFIGS, ids=repr)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_they_take_16_bit_maps(policy: str, config: CnnConfig) -> None:
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = build_cnn(config, (24, 24, 1), 2, fused=True)
        # One as a graph, as a search trains; the others show the same of the kernels without seconds of tracing.
        model.compile("sgd", "binary_crossentropy", jit_compile=False, run_eagerly=config != CONFIG)
        loss = model.train_on_batch(np.ones((2, 24, 24, 1), np.float32), np.ones((2, 1), np.float32))
        assert np.isfinite(loss)
    finally:
        keras.config.set_dtype_policy(before)


def test_inference_is_keras_own_after_training() -> None:
    images = np.random.default_rng(3).random((8, 24, 24, 1), dtype=np.float32)
    fused, plain = (build_cnn(CONFIG, (24, 24, 1), 2, seed=2, fused=choice) for choice in (True, False))
    fused.compile("sgd", "binary_crossentropy", jit_compile=False)
    fused.train_on_batch(images, np.arange(8, dtype=np.float32)[:, None] % 2)  # moves the running statistics
    plain.set_weights(fused.get_weights())
    np.testing.assert_allclose(fused.predict(images, verbose=0), plain.predict(images, verbose=0), rtol=1e-5)


def test_a_frozen_layer_keeps_its_statistics() -> None:
    model = build_cnn(CONFIG, (24, 24, 1), 2, fused=True)
    model.trainable = False
    before = model.get_weights()
    model(np.ones((2, 24, 24, 1), np.float32), training=True)
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
