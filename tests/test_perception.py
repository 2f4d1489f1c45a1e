"""VGG-19 as torchvision builds it, styles as Gram matrices, and the mistakes one can make with a file of weights."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import vgg19

from aigc_cli.errors import ConfigError
from aigc_cli.perception.style import StyleLoss, gram, total_variation
from aigc_cli.perception.vgg import DEVIATION, KEYS, MEAN, Features, read_weights
from tests.narrow_vgg import narrow_weights


def test_features_are_torchvisions():
    """Every named layer equals what torchvision's own network gives after that ReLU."""
    with torch.device("meta"):
        network = vgg19(weights=None).features
    # The same layers with few channels: torchvision's order, our widths.
    weights, entering, layers = narrow_weights(), 3, []
    for index, module in enumerate(network):
        if isinstance(module, torch.nn.Conv2d):
            weight = weights[f"features.{index}.weight"]
            layers.append(torch.nn.Conv2d(entering, len(weight), 3, padding=1))
            entering = len(weight)
        else:
            layers.append(torch.nn.ReLU() if isinstance(module, torch.nn.ReLU) else torch.nn.MaxPool2d(2))
    theirs = torch.nn.Sequential(*layers)
    theirs.load_state_dict({key.removeprefix("features."): value for key, value in weights.items()})
    ours = Features(weights, list(KEYS), "max")
    signal = torch.rand(2, 3, 40, 36) * 2 - 1
    x = ((signal + 1) / 2 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(DEVIATION).view(3, 1, 1)
    found = ours(signal)
    indices = {f"{key}": int(value.rpartition(".")[2]) + 1 for key, value in KEYS.items()}
    with torch.no_grad():
        for name, index in indices.items():
            assert torch.allclose(found[name], theirs[: index + 1](x), atol=1e-4), name
    assert not list(ours.parameters())


def test_only_as_many_layers_as_are_needed_are_kept():
    features = Features(narrow_weights(), ["relu2_1"], "average")
    assert set(features(torch.zeros(1, 1, 32, 32))) == {"relu2_1"}
    assert len(features.state_dict()) == 2 * 3 + 2


def test_a_gram_matrix_forgets_places_and_averages_over_them():
    maps = torch.randn(2, 5, 6, 4)
    shuffled = maps.flatten(2)[:, :, torch.randperm(24)].view_as(maps)
    assert torch.allclose(gram(maps), gram(shuffled), atol=1e-6)
    assert torch.allclose(gram(maps), gram(maps.repeat(1, 1, 2, 3)), atol=1e-6)
    assert torch.allclose(gram(maps)[1, 2, 3], (maps[1, 2] * maps[1, 3]).mean(), atol=1e-6)


def test_errors_vanish_at_the_style_and_at_the_content_and_do_not_depend_on_the_scale_of_weights():
    style, content = torch.rand(1, 3, 48, 48) * 2 - 1, torch.rand(1, 3, 32, 40) * 2 - 1
    losses = []
    for scale in (1.0, 7.0):
        weights = narrow_weights()
        weights["features.0.weight"] *= scale  # without biases all features grow alike
        judge = StyleLoss(weights, style, ["relu1_1", "relu3_1"], ["relu2_1"], "average")
        wanted = judge.content(content)
        assert float(judge(style, judge.content(style))[0]) < 1e-9
        assert float(judge(content, wanted)[1]) < 1e-9
        losses.append(torch.stack(judge(content.flip(-1), wanted)))
    assert torch.allclose(losses[0], losses[1], rtol=1e-3)


def test_total_variation_is_that_of_neighbours():
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 3, 4)
    assert float(total_variation(ramp)) == 1.0
    assert float(total_variation(torch.full((1, 3, 4, 4), 0.3))) == 0.0


def test_weights_are_read_from_both_formats_and_known_by_their_digest(tmp_path):
    torch.save(narrow_weights(), tmp_path / "vgg.pth")
    save_file(narrow_weights(), tmp_path / "vgg.safetensors")
    paths = [str(tmp_path / f"vgg.{each}") for each in ("pth", "safetensors")]
    (one, digest), (other, _) = (read_weights(path, "weights") for path in paths)
    assert all(torch.equal(one[key], other[key]) for key in narrow_weights())
    assert len(digest) == 64


def broken(**changes) -> dict:
    return {**narrow_weights(), **changes}


BROKEN = {
    "text.pth": (b"these are words", "cannot be read"),
    "text.safetensors": (b"these are words", "cannot be read"),
    "list.pth": ([1, 2], "it holds a list, not weights by name"),
    "other.pth": ({"conv.weight": torch.zeros(1)}, "no features.0.weight and features.0.bias (relu1_1)"),
    "cut.pth": ({k: v for k, v in narrow_weights().items() if "28" not in k}, "no features.28.weight"),
    "wide.pth": (
        broken(**{"features.2.weight": torch.zeros(4, 9, 3, 3)}),
        "features.2.weight is 4x9x3x3, and 4",
    ),
    "nan.pth": (broken(**{"features.5.bias": torch.full((4,), torch.nan)}), "features.5 holds no finite numbers"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_other_files_are_refused_in_one_line_that_says_how_to_get_the_right_one(tmp_path, name):
    content, said = BROKEN[name]
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        read_weights(str(tmp_path / name), "model.weights")
    assert str(caught.value).startswith("model.weights: '")
    assert said in str(caught.value)
    assert "Download https://download.pytorch.org/models/vgg19-dcbb9e9d.pth" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_runs_code_is_not_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"features.0.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_weights(str(tmp_path / "evil.pth"), "weights")
    assert not (tmp_path / "ran").exists()


def test_without_a_network_the_line_says_what_to_download_and_type(monkeypatch):
    from urllib.error import URLError

    from torchvision.models import VGG19_Weights

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(type(VGG19_Weights.IMAGENET1K_V1), "get_state_dict", unreachable)
    with pytest.raises(ConfigError, match=r"^weights: not set, and .* cannot be fetched .* type weights=vgg19"):
        read_weights(None, "weights")
    with pytest.raises(ConfigError, match="is no such file"):
        read_weights("nowhere.pth", "weights")
