"""Pictures of every mode and format come out as the eye sees them; damaged ones are rejected in few words."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
from packs import bomb
from PIL import Image

from aigc_cli.data.decode import MAX_PIXELS, ORIENTATION, is_picture, read_picture
from aigc_cli.data.source import Rejected

ORANGE = (240, 120, 40)
LUMA_OF_ORANGE = 0.299 * 240 + 0.587 * 120 + 0.114 * 40
PALE = 255 - (255 - 120) * 128 / 255  # 120, half transparent over white


def encoded(picture: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, format, **options)
    file.seek(0)
    return file


def deep(value: float, kind: str) -> Image.Image:
    return Image.fromarray(np.full((20, 20), value, kind))


def half_black() -> Image.Image:
    picture = Image.new("1", (20, 20))
    picture.paste(1, (0, 0, 20, 10))
    return picture


def palette() -> Image.Image:
    picture = Image.new("P", (20, 20), 1)
    picture.putpalette([0, 0, 0, 240, 120, 40])
    return picture


MODES = {
    "1": (encoded(half_black()), 127.5, None),
    "1-tiff": (encoded(half_black(), "TIFF"), 127.5, None),
    "L": (encoded(Image.new("L", (20, 20), 77)), 77, None),
    "LA": (encoded(Image.new("LA", (20, 20), (120, 128))), PALE, None),
    "LA-clear": (encoded(Image.new("LA", (20, 20), (120, 0))), 255, None),
    "P": (encoded(palette()), LUMA_OF_ORANGE, ORANGE),
    "P-gif": (encoded(palette(), "GIF"), LUMA_OF_ORANGE, ORANGE),
    "P-transparent": (encoded(palette(), transparency=1), 255, None),
    "RGB": (encoded(Image.new("RGB", (20, 20), ORANGE)), LUMA_OF_ORANGE, ORANGE),
    "RGB-transparent": (encoded(Image.new("RGB", (20, 20), (1, 2, 3)), transparency=(1, 2, 3)), 255, None),
    "L-transparent": (encoded(Image.new("L", (20, 20), 9), transparency=9), 255, None),
    "RGBA": (encoded(Image.new("RGBA", (20, 20), (120, 120, 120, 128))), PALE, None),
    "RGBA-clear": (encoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0))), 255, None),
    "CMYK": (encoded(Image.new("CMYK", (20, 20), (15, 135, 215, 0)), "TIFF"), LUMA_OF_ORANGE, ORANGE),
    "YCbCr": (encoded(Image.new("RGB", (20, 20), ORANGE).convert("YCbCr"), "TIFF"), LUMA_OF_ORANGE, ORANGE),
    "LAB": (encoded(Image.new("LAB", (20, 20), (255, 128, 128)), "TIFF"), 255, None),
    "I;16": (encoded(deep(0x4040, "uint16")), 0x40, None),
    "I;16-light": (encoded(deep(0xC0C0, "uint16")), 0xC0, None),
    "I;16-tiff": (encoded(deep(0x4040, "uint16"), "TIFF"), 0x40, None),
    "I;16B": (encoded(Image.frombytes("I;16B", (20, 20), b"\x40\x41" * 400), "TIFF"), 0x40, None),
    "I": (encoded(deep(2**30, "int32"), "TIFF"), 127.5, None),
    "I-negative": (encoded(deep(-5, "int32"), "TIFF"), 0, None),
    "F-unit": (encoded(deep(0.25, "float32"), "TIFF"), 64, None),
    "F-bytes": (encoded(deep(200, "float32"), "TIFF"), 200, None),
    "F-deep": (encoded(deep(0x4040, "float32"), "TIFF"), 0x40, None),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_keeps_its_brightness(mode, channels):
    file, mean, colour = MODES[mode]
    file.seek(0)
    samples = read_picture(file, channels, 8)
    assert samples.shape == (channels, 8, 8)
    assert samples.dtype == np.uint8
    if channels == 3 and colour:
        assert np.allclose(samples.mean(axis=(1, 2)), colour, atol=4)
    else:
        assert abs(samples.mean() - mean) <= 2


@pytest.mark.parametrize("options", [("PNG", {}), ("JPEG", {"quality": 95}), ("WEBP", {"lossless": True}),
                                     ("BMP", {}), ("GIF", {}), ("TIFF", {})], ids=lambda o: o[0])  # fmt: skip
def test_every_format_shows_the_same_picture(options):
    page = np.zeros((32, 32, 3), np.uint8)
    page[:16, :16], page[16:, 16:] = ORANGE, (40, 120, 240)
    samples = read_picture(encoded(Image.fromarray(page), options[0], **options[1]), 3, 32)
    assert np.abs(samples.transpose(1, 2, 0).astype(int) - page)[2:-2, 2:-2].mean() < 4


def test_pictures_of_the_right_size_are_not_resampled(tmp_path):
    page = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(page).save(tmp_path / "a.png")
    assert (read_picture(tmp_path / "a.png", 3, 16).transpose(1, 2, 0) == page).all()
    assert (read_picture(tmp_path / "a.png", 3, 16, "pad").transpose(1, 2, 0) == page).all()


# EXIF orientation -> where the camera's upper left corner belongs, as (row, column) of a 2x2 picture
CORNERS = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", CORNERS)
def test_pictures_are_turned_as_their_exif_says(orientation, format):
    page = np.full((32, 32), 255, np.uint8)
    page[:16, :16] = 0
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    samples = read_picture(encoded(Image.fromarray(page).convert("RGB"), format, exif=exif), 1, 2)[0]
    assert np.unravel_index(samples.argmin(), (2, 2)) == CORNERS[orientation]


def test_nonsense_in_exif_is_overlooked():
    exif = b"Exif\0\0II*\0" + b"\xff" * 12
    assert read_picture(encoded(Image.new("RGB", (9, 9), "red"), "JPEG", exif=exif), 3, 8)[0].mean() > 250


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_animation_gives_its_first_frame(format):
    frames = [Image.new("RGB", (12, 12), (shade,) * 3) for shade in (40, 200, 250)]
    lossless = {"lossless": True} if format == "WEBP" else {}
    file = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
    assert abs(read_picture(file, 3, 12).mean() - 40) <= 1


def test_crop_takes_the_middle_square_and_pad_shows_all():
    page = np.zeros((20, 60), np.uint8)
    page[:, 20:40] = 255
    picture = Image.fromarray(page)
    assert read_picture(encoded(picture), 1, 10).min() > 235  # resampling looks a little beyond the edge
    padded = read_picture(encoded(picture.point(lambda value: 255)), 1, 12, "pad")[0]
    assert (padded[4:8] == 255).all()
    assert (padded[:4] == 0).all()
    assert (padded[8:] == 0).all()
    tall = read_picture(encoded(Image.new("L", (1, 500), 255)), 1, 8, "pad")[0]
    assert (tall.max(axis=0) > 0).sum() == 1  # never thinner than a pixel


def test_crop_to_some_pixels_comes_before_the_resizing():
    page = np.zeros((40, 40), np.uint8)
    page[15:25, 15:25] = 255
    assert read_picture(encoded(Image.fromarray(page)), 1, 8, crop=10).min() > 235


@pytest.mark.parametrize("size", [48, 64, 99])
def test_a_large_jpeg_decoded_at_a_fraction_of_its_size_stays_sharp(size):
    noise = np.random.default_rng(0).integers(0, 256, (150, 100, 3), np.uint8)
    picture = Image.fromarray(noise).resize((800, 1200), Image.Resampling.BICUBIC)
    file = encoded(picture, "JPEG", quality=95)
    samples = read_picture(file, 3, size).transpose(1, 2, 0)
    with Image.open(file) as whole:
        square = np.asarray(whole.crop((0, 200, 800, 1000)).resize((size, size), Image.Resampling.LANCZOS))
    assert np.abs(samples.astype(int) - square).mean() < 1.3  # 29 at size 99, were it decoded at 100 pixels


@pytest.mark.parametrize("side", [9000, 12_000, 60_000])  # below Pillow's own limit, above it, above twice of it
def test_a_decompression_bomb_is_rejected_before_it_is_decoded(side):
    with pytest.raises(Rejected, match=f"more than {MAX_PIXELS:,}( pixels)?$"):
        read_picture(io.BytesIO(bomb(side, side)), 3, 8)


def noisy(format: str) -> bytes:
    page = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    return encoded(Image.fromarray(page), format).getvalue()


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_pictures_are_rejected(format, share):
    data = noisy(format)
    with pytest.raises(Rejected, match=r"damaged|no picture"):
        read_picture(io.BytesIO(data[: int(len(data) * share)]), 3, 8)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_no_flipped_bytes_raise_anything_but_rejected(format):
    random, data = np.random.default_rng(1), noisy(format)
    for _ in range(100):
        broken = bytearray(data)
        for place in random.integers(0, min(len(data), 400), 4):
            broken[place] = random.integers(256)
        with contextlib.suppress(Rejected):
            assert read_picture(io.BytesIO(bytes(broken)), 3, 8).shape == (3, 8, 8)


@pytest.mark.parametrize(("content", "reason"), [
    (b"", "an empty file"),
    (b"<!DOCTYPE html><html>", "no picture: it begins with b'<!DOCTYPE ht'"),
    (b"just text", "no picture: it begins with b'just text'"),
    (b"\x89PNG\r\n\x1a\n", "a damaged picture"),
])  # fmt: skip
def test_the_reason_says_what_the_file_is(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    for file in (tmp_path / "a.png", io.BytesIO(content)):
        with pytest.raises(Rejected) as caught:
            read_picture(file, 3, 8)
        assert str(caught.value) == reason


def test_formats_that_start_programs_are_not_opened(tmp_path):
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    with pytest.raises(Rejected, match="no picture"):
        read_picture(tmp_path / "a.png", 3, 8)


def test_an_absent_file_is_rejected_with_the_systems_word(tmp_path):
    with pytest.raises(Rejected, match="No such file"):
        read_picture(tmp_path / "a.png", 3, 8)


def test_floats_that_are_not_finite_are_rejected():
    with pytest.raises(Rejected, match="not finite"):
        read_picture(encoded(deep(np.nan, "float32"), "TIFF"), 1, 8)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_a_picture_is_told_by_its_first_bytes(format):
    assert is_picture(encoded(Image.new("RGB", (4, 4)), format).read(12))
    assert not is_picture(b"RIFF\0\0\0\0WAVE")
    assert not is_picture(b"")
