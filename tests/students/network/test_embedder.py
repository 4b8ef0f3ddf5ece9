"""The student: pictures to tensors, tensors to unit vectors."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import students
from sketchcanvas_env.sketches.sketch import VectorSketch
from students.network.config import Head, StudentConfig, config_from_dict
from students.network.embedder import Student
from tests.students.support import fit_norms


def make(**settings: object) -> Student:
    torch.manual_seed(0)
    return students.create(**{"canvases": (32, 48), "photo_side": 32, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def student() -> Student:
    """A student whose statistics differ by domain."""
    model = make()
    generator = torch.Generator().manual_seed(1)
    for domain, side in (("photo", 32), ("32", 32), ("48", 48)):
        fit_norms(model, domain, torch.rand(8, 3, side, side, generator=generator) * 2 - 1)
    return model


def sketches(n: int) -> list[VectorSketch]:
    rng = np.random.default_rng(0)
    return [VectorSketch.from_strokes([rng.random((6, 2), dtype=np.float32) for _ in range(3)]) for _ in range(n)]


def test_sketch_tensor(student: Student) -> None:
    rasters = np.full((2, 32, 32), 255, dtype=np.uint8)
    rasters[1, 3, 5] = 0
    x = student.sketch_tensor(rasters)
    assert x.shape == (2, 3, 32, 32) and x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x[0], torch.ones(3, 32, 32))
    assert x[1, :, 3, 5].tolist() == [-1.0, -1.0, -1.0]
    assert x[1].sum().item() == 3 * 32 * 32 - 6
    torch.testing.assert_close(make(ink="light").sketch_tensor(rasters), -x)
    first = make(normalisation="imagenet").sketch_tensor(rasters)[0, :, 0, 0]
    torch.testing.assert_close(first, torch.tensor([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]))


def test_photo_tensor(student: Student) -> None:
    photos = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    photos[0, 4, 7] = (255, 51, 0)
    x = student.photo_tensor(photos)
    torch.testing.assert_close(x[0, :, 4, 7], torch.tensor([1.0, -0.6, -1.0]))
    assert x[0, :, 7, 4].tolist() == [-1.0, -1.0, -1.0]
    big = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    small = student.photo_tensor(big)
    assert small.shape == (1, 3, 32, 32)
    # antialiased: the mean survives, the noise does not
    assert abs(small.mean().item() - (big.mean() / 127.5 - 1)) < 0.02
    assert small.std().item() < 0.7 * (big / 127.5).std()


@pytest.mark.parametrize("shape", [(2, 32, 31), (32, 32)])
def test_bad_pictures_are_refused(student: Student, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(B, S, S\) uint8"):
        student.sketch_tensor(np.zeros(shape, dtype=np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        student.sketch_tensor(np.zeros((1, 32, 32), dtype=np.float32))
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\) uint8"):
        student.photo_tensor(np.zeros((*shape, 4), dtype=np.uint8))


def test_embeddings_are_unit_vectors_that_do_not_depend_on_the_batch(student: Student) -> None:
    drawings = sketches(7)
    together = student.embed(drawings, 48)
    assert together.shape == (7, student.dim) == (7, 64 * 16 + 16 * 64 + 4 * 64) and together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(student.embed(drawings, 48, batch_size=3), together, atol=1e-5)
    np.testing.assert_allclose(student.embed(drawings[4:5], 48, progress=True)[0], together[4], atol=1e-5)
    np.testing.assert_array_equal(student.embed(drawings, 48), together)
    assert np.linalg.norm(together[0] - together[1]) > 1e-3
    assert student.embed([], 48).shape == (0, student.dim)


def test_rasters_and_sketches_agree(student: Student) -> None:
    from sketchcanvas_env.sketches.raster import rasterise

    drawings = sketches(3)
    rasters = np.stack([rasterise(s, 32) for s in drawings])
    np.testing.assert_array_equal(student.embed_rasters(rasters), student.embed(drawings, 32))
    assert np.abs(student.embed(drawings, 32) - student.embed(drawings, 48)).max() > 1e-3


def test_photos(student: Student) -> None:
    photos = np.random.default_rng(0).integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    out = student.embed_photos(photos, batch_size=2)
    assert out.shape == (5, student.dim)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        student.eval()
        direct = student(student.photo_tensor(photos), "photo").numpy()
    np.testing.assert_allclose(out, direct, atol=1e-5)


def test_embedding_restores_modes_and_keeps_statistics(student: Student) -> None:
    student.train()
    student.heads.eval()
    before = {name: t.clone() for name, t in student.state_dict().items()}
    first = student.embed(sketches(2), 32)
    assert student.training and student.trunk.training and not student.heads.training
    assert all(torch.equal(t, before[name]) for name, t in student.state_dict().items())
    student.eval()
    np.testing.assert_array_equal(student.embed(sketches(2), 32), first)


def test_each_canvas_uses_its_own_statistics() -> None:
    model = make()
    drawings = sketches(2)
    small, large = model.embed(drawings, 32), model.embed(drawings, 48)
    with torch.no_grad():
        model.trunk.features[18][1].bns["48"].bias.copy_(torch.linspace(0, 3, 1280))
    np.testing.assert_array_equal(model.embed(drawings, 32), small)
    assert np.abs(model.embed(drawings, 48) - large).max() > 1e-3


def test_unknown_canvas_and_domain_list_what_exists(student: Student) -> None:
    for call in (
        lambda: student.embed(sketches(1), 64),
        lambda: student.embed_rasters(np.zeros((1, 64, 64), np.uint8)),
    ):
        with pytest.raises(ValueError, match=r"no statistics for canvas 64; it has \[32, 48\]"):
            call()
    with pytest.raises(ValueError, match=r"'64'.*'photo', '32', '48'"):
        student(torch.zeros(1, 3, 64, 64), "64")
    with pytest.raises(ValueError, match="batch_size"):
        student.embed(sketches(1), 32, batch_size=0)


def test_heads_by_hand() -> None:
    heads = (Head(8, 4, 5, 0.25), Head(32, 2, 3, 0.75))
    model = make(heads=[asdict(head) for head in heads]).eval()
    with torch.no_grad():
        x = torch.rand(2, 3, 48, 48) * 2 - 1
        out = model(x, "48")
        taps = model.trunk.forward_taps(x)  # 48: the stride-8 map is 6 x 6, the final one 2 x 2 already
        fine = torch.stack(
            [taps[8][:, :, i : i + 2, j : j + 2].mean((2, 3)) for i in (0, 1, 3, 4) for j in (0, 1, 3, 4)], 2
        )
        parts = []
        for head, cells in zip(heads, (fine, taps[32].flatten(2)), strict=True):
            conv = model.heads[str(head.stride)]
            part = torch.einsum("oc,bcn->bon", conv.weight[:, :, 0, 0], cells) + conv.bias[None, :, None]
            part = part.flatten(1)
            parts.append(part / part.norm(dim=1, keepdim=True))
    torch.testing.assert_close(out[:, 80:], parts[1] * 0.75**0.5, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out[:, :80], parts[0] * 0.25**0.5, rtol=1e-4, atol=1e-5)
    cosine = 0.25 * (parts[0][0] @ parts[0][1]) + 0.75 * (parts[1][0] @ parts[1][1])
    torch.testing.assert_close(out[0] @ out[1], cosine, rtol=1e-4, atol=1e-5)


def test_one_head_only() -> None:
    model = make(heads=[{"stride": 16, "grid": 3, "dim": 7, "share": 1.0}])
    assert model.dim == 9 * 7
    assert model.embed(sketches(1), 32).shape == (1, model.dim)
    assert model.flops(32) > 0


def test_gradients_reach_everything_in_use() -> None:
    model = make()
    loss = F.mse_loss(model(torch.rand(4, 3, 48, 48), "48"), model(torch.rand(4, 3, 32, 32), "photo"))
    loss.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {name for name, _ in model.named_parameters() if ".bns.32." in name}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backbone": "alexnet"}, r"unknown backbone 'alexnet'; there are .*'mobilenet_v2'"),
        ({"canvases": (64, 32)}, "ascending"),
        ({"canvases": (32, 32)}, "distinct"),
        ({"canvases": ()}, "canvases"),
        ({"canvases": (4,)}, "at least 8"),
        ({"photo_side": 4}, "photo_side must be at least 8"),
        ({"heads": []}, "heads need distinct strides"),
        ({"heads": [{"stride": 4, "grid": 1, "dim": 1, "share": 1.0}]}, "out of 8, 16 and 32"),
        ({"heads": [{"stride": 8, "grid": 0, "dim": 1, "share": 1.0}]}, "grid and dim"),
        ({"heads": [{"stride": 8, "grid": 1, "dim": 1, "share": 0.9}]}, "sum to 1"),
        ({"heads": [{"stride": 8, "size": 1}]}, "heads must be a list"),
        ({"ink": "blue"}, "ink"),
        ({"normalisation": "none"}, "unknown normalisation"),
        ({"colour": 3}, r"unknown student settings \['colour'\]"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_dict(settings)


def test_config_survives_json() -> None:
    config = StudentConfig(canvases=(32, 64), ink="light")
    import json
    from dataclasses import asdict

    assert config_from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_create_names_what_exists() -> None:
    assert "mobilenet_v2" in students.backbone_names()
    with pytest.raises(ValueError, match="unknown backbone 'vgg99'"):
        students.create("vgg99")


@pytest.mark.parametrize(
    ("side", "batch", "sizes"),
    [(32, None, [64, 6]), (128, None, [8] * 8 + [6]), (256, None, [2] * 35), (32, 40, [40, 30])],
)
def test_large_pictures_are_embedded_in_small_batches(
    monkeypatch: pytest.MonkeyPatch, side: int, batch: int | None, sizes: list[int]
) -> None:
    student = students.create(canvases=(32, 128, 256), photo_side=128)
    student.batch = batch
    batches: list[int] = []

    def forward(x: torch.Tensor, domain: str) -> torch.Tensor:
        batches.append(len(x))
        return torch.zeros(len(x), student.dim)

    monkeypatch.setattr(student, "forward", forward)
    student.embed_rasters(np.zeros((70, side, side), np.uint8))
    assert batches == sizes
