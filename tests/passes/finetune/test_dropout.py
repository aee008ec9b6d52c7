"""Dropout of adapters with 16 random bits an activation."""

from __future__ import annotations

import pytest
import torch

from olive_passes.finetune.dropout import AdapterDropout, mask


@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
def test_so_many_are_dropped_and_the_mean_stays(p):
    drawn = mask((400, 1001), p, torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.float32
    share = float((drawn == 0).float().mean())
    assert share == pytest.approx(p, abs=4 * (p * (1 - p) / drawn.numel()) ** 0.5)
    assert sorted(drawn.unique().tolist()) == pytest.approx([0.0, 1 / (1 - p)], rel=1e-4)
    assert float(drawn.mean()) == pytest.approx(1.0, abs=0.02)


def test_neighbours_are_independent():
    drawn = (mask((1, 400_000), 0.3, torch.Generator().manual_seed(2))[0] == 0).double()
    for distance in (1, 2, 3, 4, 5, 8):
        pairs = torch.stack([drawn[:-distance], drawn[distance:]])
        assert abs(float(torch.corrcoef(pairs)[0, 1])) < 0.01


@pytest.mark.parametrize("shape", [(1,), (3,), (7, 5), (2, 3, 5)])
def test_any_shape(shape):
    assert mask(shape, 0.5).shape == torch.Size(shape)


def test_the_module_draws_the_same_from_the_default_generator():
    drop, x = AdapterDropout(0.2), torch.ones(3, 17)
    torch.manual_seed(5)
    dropped = drop(x)
    assert torch.equal(dropped, mask((3, 17), 0.2, torch.Generator().manual_seed(5)))
    assert torch.equal(drop.eval()(x), x)
