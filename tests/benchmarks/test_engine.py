"""The networks whose steps are timed."""

from benchmarks.engine import NETS
from models.cnn import block_shapes


def test_every_network_fits_its_images_and_half_have_batch_norm_in_every_block() -> None:
    assert all(len(block_shapes(net.model, (net.size, net.size, 1))) == net.model.layers for net in NETS)
    assert {net.model.batch_norm for net in NETS} == {"none", "conv", "block"}
    assert len({net.name for net in NETS}) == len(NETS)
