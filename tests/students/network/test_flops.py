"""The FLOPs counter against published counts, PyTorch's own counter and arithmetic by hand."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import students
from students.backbones import OWN
from students.backbones.mobilenet_v2 import MobileNetV2Trunk
from students.backbones.switch_norm import set_domain, switch_layers
from students.backbones.vgg16 import VGG16Trunk
from students.network import flops
from students.network.embedder import Student


def test_vgg16_convolutional_features() -> None:
    with torch.device("meta"):
        vgg = VGG16Trunk()
    assert flops.count(vgg, (1, 3, 256, 256)) == pytest.approx(40.09e9, abs=0.005e9)
    assert flops.count_params(vgg) == 14_714_688


def test_mobilenet_v2_trunk() -> None:
    with torch.device("meta"):
        trunk = MobileNetV2Trunk(("photo", "32", "64"))
    for side, giga, digits in ((32, 0.0122, 4), (64, 0.0489, 4), (128, 0.196, 3), (256, 0.782, 3)):
        assert round(flops.count(trunk, (1, 3, side, side)) / 1e9, digits) == giga
    assert flops.count(trunk, (5, 3, 64, 64)) == 5 * flops.count(trunk, (1, 3, 64, 64))
    assert flops.count_params(trunk) == 2_223_872
    # Two more domains are stored: weight and bias of every norm, twice more.
    assert sum(p.numel() for p in trunk.parameters()) == 2_223_872 + 2 * 34_112


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 5, stride=2, groups=2), (3, 4, 20)),
        (nn.Conv2d(4, 8, (3, 5), padding=2, dilation=2), (2, 4, 16, 16)),
        (nn.Linear(7, 3), (2, 5, 7)),
    ],
)
def test_layers_equal_torchs_counter(layer: nn.Module, shape: tuple[int, ...]) -> None:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        layer(torch.zeros(shape))
    assert counter.get_total_flops() > 0
    assert flops.count(layer, shape) == counter.get_total_flops()


def test_recurrent_layers_by_hand() -> None:
    # per step: 3 gates of 8 units, each over 5 inputs and 8 states, multiply and add
    assert flops.count(nn.GRU(5, 8, batch_first=True), (2, 7, 5)) == 2 * 7 * 2 * 3 * 8 * (5 + 8)
    assert flops.count(nn.GRU(5, 8), (7, 5)) == 7 * 2 * 3 * 8 * (5 + 8)
    # two directions; the second level reads both
    both = nn.GRU(5, 8, num_layers=2, bidirectional=True)
    assert flops.count(both, (7, 1, 5)) == 7 * 2 * (2 * 3 * 8 * (5 + 8) + 2 * 3 * 8 * (16 + 8))


def test_recurrent_flops_follow_from_the_weights() -> None:
    layer = nn.GRU(5, 8, num_layers=2, bidirectional=True)
    macs = sum(p.numel() for name, p in layer.named_parameters() if "weight" in name)
    assert flops.count(layer, (7, 2, 5)) == 7 * 2 * 2 * macs


def test_a_chain_costs_the_sum_of_its_layers() -> None:
    assert flops.count(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (1, 4)) == 24.0 + 12.0


def test_a_layer_used_twice_counts_twice_and_its_parameters_once() -> None:
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert flops.count(net, (1, 4)) == 2 * 2 * 16
    assert flops.count_params(net) == 20


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(4, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.kernel


class Bypass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.linear.weight)


@pytest.mark.parametrize(
    ("layer", "name"),
    [(Odd(), "Odd"), (nn.MultiheadAttention(4, 1), "MultiheadAttention"), (nn.LSTM(4, 4), "LSTM")],
)
def test_unknown_layers_are_errors(layer: nn.Module, name: str) -> None:
    with pytest.raises(ValueError, match=f"no FLOPs rule for layer '0' of type {name}"):
        flops.count(nn.Sequential(layer), (2, 4))


def test_transformer_layer_is_an_error() -> None:
    # PyTorch's own counter silently gives 0 here
    with pytest.raises(ValueError, match="MultiheadAttention"):
        flops.count(nn.TransformerEncoderLayer(4, 1, 8, batch_first=True), (2, 3, 4))


def test_layers_that_are_never_called_are_errors() -> None:
    with pytest.raises(ValueError, match=r"never called \['linear'\]"):
        flops.count(Bypass(), (2, 4))


class Scale(nn.Module):
    """Its parameters are vectors, as in blocks of some published networks."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(4, 1, 1))
        self.beta = nn.Parameter(torch.ones(4))
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.gamma + self.beta.view(4, 1, 1)) * self.temperature


def test_layers_of_vectors_count_nothing() -> None:
    assert flops.count(nn.Sequential(nn.Conv2d(3, 4, 1), Scale()), (1, 3, 5, 5)) == 2 * 25 * 4 * 3


class Kernel(nn.Module):
    """A depthwise convolution with a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv1d(x, self.kernel.view(1, 1, 3))


class Attention(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Products(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ x.transpose(-1, -2)


@pytest.mark.parametrize("layer", [Kernel(), Attention(), Products()])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_products_outside_layers_are_errors(layer: nn.Module, device: str) -> None:
    net = nn.Sequential(nn.Linear(6, 6), layer).to(device)
    with pytest.raises(ValueError, match=r"PyTorch finds .* FLOPs, the layers account for 360: .* outside its layers"):
        flops.count(net, (5, 1, 6))


def test_counting_leaves_the_network_unchanged() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    net[2].eval()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    assert flops.count(net, (2, 3, 5, 5)) == 2 * 2 * 25 * 4 * 3
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    assert [m.training for m in net] == [True, True, False]
    assert not any(m._forward_hooks for m in net.modules())


def test_a_student_costs_its_trunk_and_heads() -> None:
    heads = [
        {"stride": 32, "grid": 2, "dim": 10, "share": 0.5},
        {"stride": 16, "grid": 3, "dim": 5, "share": 0.5},
    ]
    student = students.create(canvases=(32, 256), heads=heads)
    head = 2 * (4 * 10 * 1280 + 9 * 5 * 96)
    with torch.device("meta"):
        trunk = MobileNetV2Trunk()
    assert student.flops(256) == flops.count(trunk, (1, 3, 256, 256)) + head
    assert student.params == 2_223_872 + 10 * 1281 + 5 * 97
    with pytest.raises(ValueError, match=r"no statistics for canvas 64; it has \[32, 256\]"):
        student.flops(64)


@pytest.mark.parametrize("backbone", sorted(OWN))
def test_students_cost_what_a_watched_pass_over_shapes_says(backbone: str) -> None:
    """No backbone of the package has products outside its layers; counting leaves the student unchanged."""
    student = students.create(backbone, canvases=(32, 64)).eval()
    before = {name: t.clone() for name, t in student.state_dict().items()}
    set_domain(student.trunk, "photo")
    for canvas in student.canvases:
        assert student.flops(canvas) == flops.count(student._on_meta_device(), (1, 3, canvas, canvas), str(canvas)) > 0
    assert {layer.domain for layer in switch_layers(student.trunk)} <= {"photo"}  # VGG-16 has no norms
    assert all(torch.equal(t, before[name]) for name, t in student.state_dict().items())


def test_a_large_canvas_is_counted_without_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card may name canvases of up to 4096 pixels."""
    student = students.create(canvases=(32, 4096))
    monkeypatch.setattr(Student, "_copy_of_layers", None)
    assert student.flops(4096) > 10_000 * 1e6
    with pytest.raises(TypeError):
        student.flops(32)


def test_counting_a_student_does_not_import_the_compiler() -> None:
    code = "import sys, students; students.load('emoji').flops(32); assert 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
