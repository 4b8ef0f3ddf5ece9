"""Starting from ImageNet weights: the function survives, the norms normalise, bad files are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from students.embedder import Student, StudentConfig
from students.mobilenet_v2 import MobileNetV2Trunk
from students.pretrained import PRETRAINED, calibrate, load_trunk, read_state_dict, start_from_pretrained
from students.switch_norm import set_domain, switch_layers

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
    assert start_from_pretrained(student, {d: [inputs(d)] for d in DOMAINS}) is True
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
    assert start_from_pretrained(student, path=path) is False
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


def test_folded_weights_need_data_for_every_domain() -> None:
    student = Student(StudentConfig(canvases=(32, 64)))
    with pytest.raises(ValueError, match=r"calibration data needed for \['64'\]"):
        start_from_pretrained(student, {d: [inputs(d)] for d in ("photo", "32")})
    with pytest.raises(ValueError, match=r"unknown domains \['512'\]"):
        start_from_pretrained(student, {"512": [inputs("32")]})
    with pytest.raises(ValueError, match="at least one batch"):
        calibrate(student.trunk, "32", [])
