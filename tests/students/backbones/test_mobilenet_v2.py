"""The MobileNetV2 trunk: padding, shapes, names, and its function against a plain re-computation."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from students.backbones.layers import SameConv2d, same_pad
from students.backbones.mobilenet_v2 import MobileNetV2Trunk
from students.store.pretrained import PRETRAINED, load_trunk, read_state_dict


def plain_forward(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """The folded network, written out from the file's names alone."""

    def conv(x: Tensor, conv_name: str, norm_name: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv_name}.weight"].float()
        kernel = weight.shape[-1]
        groups = x.shape[1] // weight.shape[1]
        if kernel == 3:
            x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        return F.conv2d(x, weight, state[f"{norm_name}.bias"], stride, groups=groups)

    x = F.relu6(conv(x, "features.0.0", "features.0.1", 2))
    mid = x
    for i in range(1, 18):
        name = f"features.{i}.conv"
        stride = 2 if i in (2, 4, 7, 14) else 1
        y = x
        if i > 1:
            y = F.relu6(conv(y, f"{name}.0.0", f"{name}.0.1"))
        depthwise, project = (0, 1) if i == 1 else (1, 2)
        y = F.relu6(conv(y, f"{name}.{depthwise}.0", f"{name}.{depthwise}.1", stride))
        y = conv(y, f"{name}.{project}", f"{name}.{project + 1}")
        x = x + y if stride == 1 and x.shape == y.shape else y
        if i == 13:
            mid = x
    return mid, F.relu6(conv(x, "features.18.0", "features.18.1"))


def test_names_are_torchvisions() -> None:
    state = read_state_dict(PRETRAINED["mobilenet_v2"])
    ours = {name.replace("bns.photo.", "") for name in MobileNetV2Trunk().state_dict()}
    assert ours == {name for name in state if not name.endswith("num_batches_tracked")}


def test_function_equals_a_plain_recomputation() -> None:
    state = read_state_dict(PRETRAINED["mobilenet_v2"])
    trunk = MobileNetV2Trunk()
    assert load_trunk(trunk, state) is True
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mid, final = plain_forward(state, x)
    trunk.eval()
    with torch.no_grad():
        taps = trunk.forward_taps(x)
        ours_mid, ours_final = taps[16], taps[32]
        alone = trunk(x)
    # the file's norms have variance 1 - 1e-5 or so: equal up to that and float noise through 52 layers
    torch.testing.assert_close(ours_mid, mid, rtol=1e-3, atol=5e-3)
    torch.testing.assert_close(ours_final, final, rtol=1e-3, atol=5e-3)
    assert final.std() > 0.1
    assert torch.equal(alone, ours_final)


@pytest.mark.parametrize(("side", "mid", "final"), [(32, 2, 1), (48, 3, 2), (64, 4, 2), (96, 6, 3)])
@pytest.mark.parametrize("same_padding", [True, False])
def test_shapes(side: int, mid: int, final: int, same_padding: bool) -> None:
    with torch.device("meta"):
        trunk = MobileNetV2Trunk(("photo", "32"), same_padding=same_padding)
        taps = trunk.forward_taps(torch.zeros(2, 3, side, side))
    assert list(taps) == [8, 16, 32]
    assert taps[8].shape == (2, 32, side // 8, side // 8)
    assert taps[16].shape == (2, 96, mid, mid)
    assert taps[32].shape == (2, 1280, final, final)


def test_channels_last_stays_channels_last() -> None:
    trunk = MobileNetV2Trunk().to(memory_format=torch.channels_last).eval()
    x = torch.zeros(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        assert trunk(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        (224, 3, 2, (0, 1)),
        (4, 3, 2, (0, 1)),
        (3, 3, 2, (1, 1)),
        (5, 3, 1, (1, 1)),
        (1, 3, 2, (1, 1)),
        (6, 1, 2, (0, 0)),
    ],
)
def test_same_pad(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    assert same_pad(size, kernel, stride) == expected


def test_same_convolution_by_hand() -> None:
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    with torch.no_grad():
        conv.weight.fill_(1.0)
        even = conv(torch.arange(16.0).view(1, 1, 4, 4))
        odd = conv(torch.arange(9.0).view(1, 1, 3, 3))
    # 4 x 4, windows at rows and columns 0-2 and 2-4 (4 is padding):
    # rows 0,1,2 cols 0,1,2 = 45; cols 2,3 = 39; rows 2,3 cols 0,1,2 = 66; cols 2,3 = 50
    assert even.view(-1).tolist() == [45.0, 39.0, 66.0, 50.0]
    # 3 x 3, padded by one all round: the four corners' 2 x 2 blocks
    assert odd.view(-1).tolist() == [8.0, 12.0, 20.0, 24.0]


def test_symmetric_padding_on_request() -> None:
    trunk = MobileNetV2Trunk(same_padding=False)
    first = trunk.features[0][0]
    x = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(first(x), F.conv2d(x, first.weight, stride=2, padding=1))
    assert not any(isinstance(m, SameConv2d) for m in trunk.modules())
    assert sum(isinstance(m, SameConv2d) for m in MobileNetV2Trunk().modules()) == 5
