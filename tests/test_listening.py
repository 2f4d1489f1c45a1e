"""The ear of the classifier of sounds: what it varies while it learns, and what it must not hear."""

import pytest
import torch

from aigc_cli.evaluating.classifier import Classifier
from aigc_cli.evaluating.listening import FEATURES, Listener, levelled, varied
from aigc_cli.interfaces import Classes, DataSpec, Sound


def line(band: int, bands: int = 64, frames: int = 64, n: int = 32) -> torch.Tensor:
    """Return spectrograms (N, 1, bands, frames) that are silent but for one band."""
    x = torch.full((n, 1, bands, frames), -1.0)
    x[:, :, band] = 0.5
    return x


def spec(names: tuple[str, ...] = ("one", "two")) -> DataSpec:
    sound = Sound(8000, 4096, bands=64)
    return DataSpec("image", (1, 64, 64), 256, Classes(names), sound)


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 64, 128), (1, 64, 1024), (1, 64, 8), (1, 20, 33)])
def test_takes_spectrograms_of_any_length_and_channels(shape):
    features = Listener(shape).eval()(torch.rand(3, *shape) * 2 - 1)
    assert features.shape == (3, FEATURES)
    assert features.isfinite().all()


def test_loudness_is_not_heard():
    listener, x = Listener((1, 64, 64)).eval(), line(20) + 0.2 * torch.rand(32, 1, 64, 64)
    torch.testing.assert_close(listener(x), listener(x - 0.25), rtol=1e-4, atol=1e-4)


def test_silence_is_no_trouble():
    silent = torch.full((2, 1, 64, 64), -1.0)
    assert Listener((1, 64, 64)).eval()(silent).isfinite().all()
    assert torch.equal(levelled(silent), silent)
    assert levelled(line(20)).amax() == 1


def test_notes_keep_their_band_and_words_get_other_voices():
    torch.manual_seed(0)
    kept = varied(line(40), voices=False).mean(3).argmax(2)
    moved = varied(line(40), voices=True).mean(3).argmax(2)
    assert (kept == 40).all()
    assert len(moved.unique()) > 5
    assert (moved - 40).abs().max() < 24


def test_a_clip_begins_about_where_it_began():
    torch.manual_seed(0)
    x = torch.full((200, 1, 64, 100), -1.0)
    x[..., :40] = 0.5  # of a word of 40 frames with silence after it
    end = (varied(x, voices=False).amax((1, 2)) > 0).float().sum(1)
    assert 36 < end.median() < 44
    assert end.min() < 32 < 50 < end.max()


def test_only_training_varies_what_is_heard():
    torch.manual_seed(0)
    stored, model = torch.randint(0, 256, (4, 1, 64, 64), dtype=torch.uint8), Classifier(spec())
    assert not torch.equal(model.layers(model.spec.encode(stored)), model(stored)[0])
    model.eval()
    torch.testing.assert_close(model(stored)[0], model(stored)[0], rtol=0, atol=0)
    torch.testing.assert_close(model.layers(model.spec.encode(stored)), model(stored)[0], rtol=0, atol=0)
