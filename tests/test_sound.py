"""Sounds: spectrograms and back, levels, clips from files of any kind, sheets, and what is said of bad ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch.nn import functional as F

from aigc_cli.checkpoints import Checkpoint
from aigc_cli.checkpoints.restoring import read_spec
from aigc_cli.cli import main
from aigc_cli.composing.compose import compose
from aigc_cli.config import bind, load
from aigc_cli.data import AUGMENTS, FOR_SOUNDS
from aigc_cli.data.augment import sample_keys
from aigc_cli.data.pack import open_data
from aigc_cli.data.sound import Clips
from aigc_cli.data.source import Rejected
from aigc_cli.data.tones import NOTES, pluck
from aigc_cli.errors import CheckpointError, DataError
from aigc_cli.inference.inputs import from_folder
from aigc_cli.inference.opening import open_model
from aigc_cli.interfaces import Batch, DataSpec, Shapes, Sound
from aigc_cli.metrics.fidelity import snr
from aigc_cli.metrics.pitch import CLEAR, accuracy_of_notes, pitches
from aigc_cli.models.autoregressive import draw
from aigc_cli.networks.wavenet import WaveNet
from aigc_cli.sounds.companding import amplitudes, compress
from aigc_cli.sounds.notes import frequency_of
from aigc_cli.sounds.reading import read_clip
from aigc_cli.sounds.seen import as_heard, as_seen, made_of_spectrograms, seen_pack, seen_spec
from aigc_cli.sounds.sheets import tiles
from aigc_cli.sounds.spectrogram import from_log_mel, log_mel
from aigc_cli.sounds.waveforms import as_stored, as_waves, waves, write_sound, write_waves

RATE = 8_000
PIPELINE = {"cache": "cache", "workers": 0, "max_bad": 0.01, "augment": []}
CLIPS = {"seconds": 0.128, "sample_rate": RATE, "features": "wave", "bands": 32, "mu_law": False, "normalise": False}
WAVES = DataSpec("audio", (1, 1024), 1 << 16, sound=Sound(RATE, 1024))


def sine(frequency: float, seconds: float, rate: int = RATE, loudness: float = 0.5) -> np.ndarray:
    return (loudness * np.sin(2 * math.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_sixteen_bits_survive_encoding():
    stored = torch.tensor([[-32768, -1, 0, 1, 32767]], dtype=torch.int16)
    signal = WAVES.encode(stored)
    assert signal[0, 0] == -1
    assert signal[0, -1] == 1
    assert torch.equal(WAVES.decode(signal), stored)
    assert DataSpec.from_dict(WAVES.to_dict()) == WAVES


def test_mu_law_keeps_quiet_sounds():
    wave = sine(200, 0.1, loudness=0.01)
    back = amplitudes()[compress(wave)]
    assert np.abs(back - wave).max() < 3e-4  # a linear scale of 256 levels has steps of 8e-3
    assert compress(np.array([-1, 0, 1], np.float32)).tolist() == [0, 128, 255]
    assert np.all(np.diff(amplitudes()) > 0)
    ramp = np.linspace(-1, 1, 10_001, dtype=np.float32)
    law = DataSpec("audio", (1, len(ramp)), 256, sound=Sound(RATE, len(ramp), mu_law=True))
    apart = as_stored(torch.from_numpy(ramp), law).numpy().astype(int) - compress(ramp)
    assert np.abs(apart).max() <= 1  # where a value lies between two levels, either may be taken
    assert np.abs(apart).mean() < 1e-3
    assert as_stored(torch.from_numpy(amplitudes()), law).tolist() == list(range(256))


def test_a_sine_of_full_scale_is_the_loudest_and_lies_where_it_should():
    heat = log_mel(torch.from_numpy(sine(1000, 1.0, loudness=1.0)), RATE)
    assert heat.shape == (64, RATE // 64)
    assert heat.max() == pytest.approx(1, abs=0.05)
    mel = 2595 * math.log10(1 + 1000 / 700)
    highest = 2595 * math.log10(1 + RATE / 2 / 700)
    assert int(heat[:, 60].argmax()) == pytest.approx(mel / highest * 65 - 1, abs=1)
    assert log_mel(torch.zeros(RATE), RATE).max() == -1


def test_a_spectrogram_is_heard_again():
    """Griffin and Lim's wave has nearly the spectrogram it is made from; its pitch is the note's."""
    wave = torch.from_numpy(pluck(440.0, 8192, RATE, np.random.default_rng(0)))
    heat = log_mel(wave, RATE)
    again = log_mel(from_log_mel(heat, RATE, 8192), RATE)
    assert (again - heat)[heat > 0].abs().mean() < 0.05  # 2 dB, where it is louder than -40 dB
    spectrum = torch.fft.rfft(from_log_mel(heat, RATE, 8192)).abs()
    loudest = float(spectrum.argmax()) * RATE / 8192
    assert loudest / 440 == pytest.approx(round(loudest / 440), abs=0.02)


@pytest.mark.parametrize(("suffix", "rate", "channels"), [("wav", 8000, 1), ("flac", 16000, 2), ("ogg", 44100, 1),
                                                         ("mp3", 22050, 2), ("aiff", 8000, 2)])  # fmt: skip
def test_files_of_every_kind_become_clips(place, suffix, rate, channels):
    wave = sine(440, 0.5, rate)
    soundfile.write(place / f"a.{suffix}", np.stack([wave] * channels, axis=1), rate)
    clip = read_clip(place / f"a.{suffix}", RATE, 2048, 1)
    assert clip.shape == (1, 2048)
    loudest = np.abs(np.fft.rfft(clip[0, 512:1536])).argmax()
    assert loudest * RATE / 1024 == pytest.approx(440, abs=8)
    assert read_clip(place / f"a.{suffix}", RATE, 2048, 2).shape == (2, 2048)


def test_short_clips_are_filled_with_silence_and_silence_is_trimmed(place):
    wave = np.concatenate([np.zeros(400), sine(440, 0.05), np.zeros(400)])
    soundfile.write(place / "a.wav", wave, RATE)
    assert not read_clip(place / "a.wav", RATE, 2048, 1)[0, len(wave) :].any()
    trimmed = read_clip(place / "a.wav", RATE, 2048, 1, trim=True)
    assert np.abs(trimmed[0, :10]).max() > 0.01
    assert np.abs(trimmed[0, 401:]).max() == 0


def broken(place: Path) -> dict[str, str]:
    soundfile.write(place / "whole.wav", sine(440, 0.5), RATE)
    data = (place / "whole.wav").read_bytes()
    files = {"empty.wav": b"", "text.wav": b"no sound at all, but words", "head.wav": data[:44]}
    for name, content in files.items():
        (place / name).write_bytes(content)
    soundfile.write(place / "nan.wav", np.array([0.1, math.nan, 0.1], np.float32), RATE, subtype="FLOAT")
    return {"empty.wav": "an empty file", "text.wav": "no sound that can be read", "head.wav": "without any sound",
            "nan.wav": "not finite"}  # fmt: skip


def test_bad_files_say_what_is_wrong(place):
    for name, said in broken(place).items():
        with pytest.raises(Rejected, match=said):
            read_clip(place / name, RATE, 1024, 1)


def folder_of(place: Path, **changes: object) -> dict[str, object]:
    node = {"name": "audio_folder", "root": str(place / "sounds"), "channels": 1, "cut": "first", "trim": False,
            "labels": False}  # fmt: skip
    return {**node, **CLIPS, **PIPELINE, **changes}


def write_folder(place: Path, count: int = 6) -> None:
    for index in range(count):
        path = place / "sounds" / ("high" if index % 2 else "low") / f"{index}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sine(880 if index % 2 else 220, 0.3), RATE if index else 16_000)


def test_a_folder_becomes_a_pack_of_sixteen_bits(place, capsys):
    write_folder(place)
    pack = open_data(folder_of(place, labels=True))
    assert pack.spec.class_names == ("high", "low")
    assert (pack.spec.kind, pack.spec.shape, pack.spec.levels) == ("audio", (1, 1024), 1 << 16)
    samples, labels = pack.split("train")
    assert samples.dtype == np.int16
    assert labels is not None
    assert sum(pack.counts.values()) == 6
    assert "resampled to data.sample_rate=8000" in capsys.readouterr().err


def test_windows_are_cut_one_after_another(place):
    write_folder(place)
    pack = open_data(folder_of(place, cut="windows"))
    assert (
        sum(pack.counts.values()) == 11
    )  # 2,400 samples are two windows, the rest is not half full; the first has 1,200
    samples, _ = pack.split("train")
    assert len(np.unique(samples[:, 0, :8], axis=0)) > 1


def test_sub_folders_are_classes_of_sounds_as_of_pictures(place):
    """The same tree of sounds and of pictures gives the same classes, labels, splits and rejected files."""
    names = ["b/1", "b/deep/2", "a c/3", "a c/4", "5", *(f"Z/{number}" for number in range(40))]
    for name in names:
        (place / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / "tree" / f"{name}.wav", sine(220, 0.1), RATE)
        Image.new("RGB", (8, 8)).save(place / "pictures.png")
        (place / "tree" / f"{name}.wav.png").write_bytes((place / "pictures.png").read_bytes())
    sounds = folder_of(place, root=str(place / "tree"), labels=True, max_bad=0.1)
    pictures = {"name": "image_folder", "root": sounds["root"], "size": 8, "channels": 3, "fit": "crop", "labels": True}
    packs = open_data(sounds), open_data({**pictures, **PIPELINE, "max_bad": 0.1})
    for pack, suffix in zip(packs, ("wav", "wav.png"), strict=True):
        assert pack.spec.class_names == ("Z", "a c", "b")
        assert pack.rejections() == [(f"5.{suffix}", "lies in no class's sub-folder")]
        labels = np.concatenate([pack.split(split)[1] for split in ("train", "test")])
        assert np.bincount(labels).tolist() == [40, 2, 2]
        with pytest.raises(DataError, match="has no sub-folders to be classes"):
            open_data({**(sounds if suffix == "wav" else pictures | PIPELINE), "root": str(place / "tree" / "b/deep")})


def test_bad_sounds_are_counted_and_too_many_are_an_error(place, capsys):
    write_folder(place)
    broken(place / "sounds")
    pack = open_data(folder_of(place, max_bad=1.0))
    assert pack.rejected == 4
    assert main(["data", "pack", "data=audio_folder", "data.root=sounds", "data.cache=other"]) == 2
    assert "cannot be used" in capsys.readouterr().err


def test_damaged_mp3s_are_told_of_by_us_alone(place, capfd):
    (place / "sounds").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, 3_000, np.uint8).tobytes()
    (place / "sounds" / "noise.mp3").write_bytes(noise)
    assert main(["data", "pack", "data=audio_folder", "data.root=sounds", "data.cache=cache"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("aigc: data: none of the 1 samples can be trained on. noise.mp3 (no sound that can be read)")
    assert line.endswith("Type data.root= and others.")


def test_all_rates_are_counted(place, capsys):
    (place / "sounds").mkdir()
    for index, rate in enumerate((8_000, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000)):
        soundfile.write(place / "sounds" / f"{index}.wav", sine(220, 0.2, rate), rate)
    assert sum(open_data(folder_of(place)).counts.values()) == 7
    said = capsys.readouterr().err
    assert "2 of 8,000 Hz, 1 of 11,025 Hz, 1 of 16,000 Hz, 1 of 22,050 Hz, 2 of other rates: all are resampled" in said


@pytest.mark.parametrize("view", ["wave", "mel"])
def test_data_check_draws_a_sheet_of_waves_and_spectrograms(place, capsys, view):
    write_folder(place)
    short = ["data.seconds=0.128", "data.sample_rate=8000", "data.labels=true", f"data.features={view}", "output=looks"]
    assert main(["data", "check", "data=audio_folder", "data.root=sounds", "data.cache=cache", *short, "n=2"]) == 0
    assert "checked:  every file is what its checksum says" in capsys.readouterr().out
    sheet = np.asarray(Image.open(place / "looks" / "audio_folder-sounds.png"))
    # Two tiles, a gap between: a label of 16 rows above a wave of 32 above 64 bands.
    assert sheet.shape == (114, 2 * 160 + 2, 3)
    heat = [sheet[50:, left : left + 160].astype(int).sum((1, 2)) for left in (0, 162)]
    loudest = [int(rows.argmax()) for rows in heat]  # 880 Hz lies above 220 Hz; classes take turns: high, low
    assert loudest[0] < loudest[1]


def test_a_broken_recording_of_many_windows_is_one_bad_file(place, capsys):
    """Of 20 good recordings of a window each and one of 20 broken windows, a 21st cannot be used, and not a half."""
    (place / "sounds").mkdir()
    for index in range(20):
        soundfile.write(place / "sounds" / f"{index}.wav", sine(220, 0.13), RATE)
    holes = np.where(np.arange(20 * 1024) % 1000 == 0, math.nan, 0.1).astype(np.float32)
    soundfile.write(place / "sounds" / "holes.wav", holes, RATE, subtype="FLOAT")
    node = folder_of(place, cut="windows", max_bad=0.048)
    pack = open_data(node)
    assert (sum(pack.counts.values()), pack.rejected) == (20, 1)
    assert pack.rejections() == [("holes.wav", "values that are not finite")]
    assert "1 files cannot be used" in capsys.readouterr().err
    assert not open_data(node).fresh
    with pytest.raises(DataError, match=r"max_bad=0.047 of the 21 files cannot be used. holes.wav \([^)]*\)[.] Remove"):
        open_data({**node, "max_bad": 0.047})  # the pack that is there is asked again
    with pytest.raises(DataError, match=r"max_bad=0.047 of the 21 files"):
        open_data({**node, "max_bad": 0.047, "cache": "other"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data.root=nowhere"], "data.root: no folder 'nowhere'"),
        (["data.root=pictures"], "data.root: no sounds (WAV, FLAC"),
        (["data.root=sounds", "data.features=mel", "data.mu_law=true"], "data.mu_law: given true, but features=mel"),
        (["data.root=sounds", "data.trim=true"], "data.trim: given true, but windows are cut from whole recordings"),
        (["data.root=sounds", "data.seconds=0"], "data.seconds: given 0"),
    ],
)
def test_mistakes_are_told_in_one_line(place, capsys, words, said):
    write_folder(place)
    (place / "pictures").mkdir()
    (place / "pictures" / "a.txt").write_text("")
    assert main(["data", "pack", "data=audio_folder", "data.cache=cache", *words]) == 2
    assert said in capsys.readouterr().err
    assert not (place / "cache").exists() or not list((place / "cache").glob("audio*"))


def test_mel_and_mu_law_are_stored_in_bytes(place):
    write_folder(place)
    mel = open_data(folder_of(place, features="mel"))
    assert (mel.spec.kind, mel.spec.shape, mel.spec.levels) == ("image", (1, 32, 16), 256)
    assert mel.spec.sound == Sound(RATE, 1024, bands=32)
    law = open_data(folder_of(place, mu_law=True))
    assert (law.spec.kind, law.spec.levels, law.spec.dtype) == ("audio", 256, torch.uint8)
    plain = open_data(folder_of(place))
    whole, bent, heat = (torch.from_numpy(np.array(each.split("train")[0][:2])) for each in (plain, law, mel))
    assert (waves(bent, law.spec) - waves(whole, plain.spec)).abs().max() < 0.02
    assert waves(heat, mel.spec).shape == (2, 1, 1024)


def test_tones_are_the_notes_they_are_called(place):
    clip = Clips(1.024, RATE, "wave", 64, False, False)
    for note in NOTES:
        wave = pluck(frequency_of(note), clip.samples, RATE, np.random.default_rng(3))
        strengths = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 65536))
        harmonics = [strengths[round(k * frequency_of(note) * 65536 / RATE)] for k in (1, 2, 3)]
        assert max(harmonics) > 0.9 * strengths.max()
    assert frequency_of("A4") == 440
    assert frequency_of("C4") == pytest.approx(261.626, abs=1e-3)


def spoken(place: Path) -> Path:
    for digit in range(3):
        for speaker in ("ann", "bob"):
            for take in range(8):
                path = place / "data" / "recordings" / f"{digit}_{speaker}_{take}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, sine(200 + 100 * digit, 0.1), RATE)
    return place / "data"


def test_spoken_digits_hold_out_takes_or_a_speaker(place, capsys):
    node = {"name": "spoken_digits", "root": str(spoken(place)), "speaker": None, **CLIPS, **PIPELINE}
    assert open_data(node).counts == {"train": 18, "test": 30}
    assert open_data({**node, "speaker": "bob"}).counts == {"train": 24, "test": 24}
    assert main(["data", "pack", "data=spoken_digits", "data.speaker=bop", "data.cache=cache"]) == 2
    assert "nobody is called 'bop'. Did you mean 'bob'?" in capsys.readouterr().err


def test_speech_commands_are_read_as_torchaudio_lays_them_out(place, capsys):
    root = place / "data" / "SpeechCommands" / "speech_commands_v0.02"
    for word in ("yes", "no", "_background_noise_"):
        (root / word).mkdir(parents=True)
        for take in range(3):
            soundfile.write(root / word / f"a{take}_nohash_0.wav", sine(300, 0.1), RATE)
    (root / "testing_list.txt").write_text("yes/a0_nohash_0.wav\nno/a1_nohash_0.wav\n")
    node = {"name": "speech_commands", "root": "data", "words": None, **CLIPS, **PIPELINE}
    pack = open_data(node)
    assert pack.counts == {"train": 4, "test": 2}
    assert pack.spec.class_names == ("no", "yes")
    assert open_data({**node, "words": ["yes"]}).counts == {"train": 2, "test": 1}
    (root / "testing_list.txt").write_text("yes/a0_nohash_0.wav\n")
    assert open_data(node).counts == {"train": 5, "test": 1}  # another list, another pack
    assert main(["data", "pack", "data=speech_commands", "data.words=[yess]", "data.cache=cache"]) == 2
    assert "no 'yess'. Did you mean 'yes'?" in capsys.readouterr().err
    assert main(["data", "pack", "data=speech_commands", "data.words=[]", "data.cache=cache"]) == 2
    assert "data.words: given [], allowed: list of texts of length >= 1 or null" in capsys.readouterr().err


def test_sheets_show_waves_and_spectrograms():
    stored = WAVES.decode(torch.from_numpy(np.stack([sine(440, 0.128)[None], sine(440, 0.128, loudness=0.05)[None]])))
    drawn = tiles(stored, WAVES)
    assert drawn.shape == (2, 3, 98, 160)
    assert drawn.dtype == np.uint8
    inked = (drawn[:, :, :32] == np.array([94, 201, 160])[None, :, None, None]).all(1).sum((1, 2))
    assert inked[0] > 3 * inked[1]  # the louder one is taller


def test_a_sheet_says_what_was_asked_for_above_each_sound():
    stored = WAVES.decode(torch.from_numpy(np.stack([sine(440, 0.128)[None]] * 4)))
    plain = tiles(stored, WAVES)
    named = tiles(stored, WAVES, ["three", "four", "three", "a very long name of a class " * 9])
    assert named.shape == (4, 3, 114, 160)
    assert np.array_equal(named[:, :, 16:], plain)
    captions = named[:, :, :16]
    assert np.array_equal(captions[0], captions[2])
    assert not np.array_equal(captions[0], captions[1])
    written = (captions.max(1) > 120).any(1)  # columns with ink
    assert written.any(1).all()
    assert not written[:, :4].any()
    assert not written[:, 156:].any()


def test_sheets_of_labelled_sounds_are_captioned(place):
    small = ["data=tones", "data.count=48", "data.seconds=0.512", "data.cache=cache"]
    assert main(["data", "check", *small, "n=12"]) == 0
    wave = ["model=wavegan", "model.conditional=true", "model.generator.width=2", "model.critic.width=2"]
    assert main(["train", *small, *wave, "steps=1", "batch_size=4", "preview.n=12", "name=named"]) == 0
    assert main(["sample", "ckpt=outputs/named", "n=12", "output=asked"]) == 0
    for sheet in ("outputs/data/tones.png", "outputs/named/samples/step-00000001.png", "asked/sheet.png"):
        with Image.open(place / sheet) as page:
            columns = (page.width + 2) // 162
            assert page.height == -(-12 // columns) * (114 + 2) - 2, sheet


def test_sounds_are_written_as_they_are(place):
    wave = torch.from_numpy(sine(440, 0.1))[None]
    for format in ("wav", "flac"):
        write_sound(wave, RATE, place / f"a.{format}", format)
        again, rate = soundfile.read(place / f"a.{format}", dtype="float32")
        assert rate == RATE
        assert np.abs(again - wave[0].numpy()).max() < 1e-4
    write_waves(wave[None], RATE, place / "many", names=["C#4"])
    assert [path.name for path in (place / "many").iterdir()] == ["00000-C#4.wav"]


def test_what_is_measured_of_sounds_is_their_spectrogram(place):
    write_folder(place)
    pack = open_data(folder_of(place, labels=True))
    seen = seen_pack(pack)
    assert seen.spec == seen_spec(pack.spec)
    assert seen.counts == pack.counts
    (samples, labels), (pictures, same) = pack.split("train"), seen.split("train")
    assert np.array_equal(labels, same)
    assert np.array_equal(as_seen(torch.from_numpy(np.array(samples)), pack.spec).numpy(), pictures)
    assert seen_pack(pack).path == seen.path


def test_a_gan_learns_sounds_end_to_end(place, capsys):
    """Train, draw, measure: on tones, briefly."""
    small = ["data=tones", "data.count=120", "data.seconds=0.128", "data.cache=cache", "data.workers=0"]
    tiny = ["model=wavegan", "model.conditional=true", "model.generator.width=2", "model.critic.width=2",
            "batch_size=12", "steps=4", "preview.n=12", "preview.every=0", "name=wave"]  # fmt: skip
    assert main(["train", *small, *tiny]) == 0
    assert Path("outputs/wave/samples/step-00000004.png").is_file()
    assert len(list(Path("outputs/wave/samples/step-00000004").glob("*.wav"))) == 12
    assert main(["sample", "ckpt=outputs/wave", "n=12", "format=flac", "output=made"]) == 0
    assert len(list(Path("made").glob("*-*.flac"))) == 12
    assert Path("made/sheet.png").is_file()
    capsys.readouterr()
    assert main(["sample", "ckpt=outputs/wave", "format=png"]) == 2
    assert "format: given png, but this model makes sounds" in capsys.readouterr().err
    assert main(["evaluate", "ckpt=outputs/wave", "n=24", "features=pixels", "metrics=[frechet,memorisation]"]) == 0
    assert Path("outputs/wave/copies.png").is_file()


@pytest.mark.parametrize("law", [False, True])
@pytest.mark.parametrize("name", FOR_SOUNDS)
def test_clips_are_changed_each_its_own_way(name, law):
    spec = DataSpec("audio", (1, 1024), 256 if law else 1 << 16, sound=Sound(RATE, 1024, law))
    wave = torch.from_numpy(sine(200, 0.128, loudness=0.3)).expand(16, 1, -1)
    stored = as_stored(wave, spec)
    augment = load(AUGMENTS[name])
    changed = augment(stored, sample_keys(0, 0, torch.arange(16), name), spec)
    assert (changed.dtype, changed.shape) == (stored.dtype, stored.shape)
    assert torch.equal(changed, augment(stored, sample_keys(0, 0, torch.arange(16), name), spec))
    different = len(torch.unique(changed, dim=0))
    assert different == 2 if name == "polarity" else different > 10  # 256 levels may come to the same
    apart = (as_waves(changed, spec) - wave).abs().amax((1, 2))
    assert apart.max() > 0.001
    if name == "noise":
        assert apart.max() < 0.03


def test_augmentations_of_pictures_are_not_for_sounds(capsys):
    small = ["data=tones", "data.count=120", "data.seconds=0.128", "data.cache=cache", "data.workers=0"]
    assert main(["train", *small, "model=wavegan", "data.augment=[flip]"]) == 2
    assert "flip is not for audio data. Allowed: gain, noise, polarity, shift." in capsys.readouterr().err
    assert main(["train", *small, "model=vae", "data.features=mel", "data.augment=[gain]"]) == 2
    assert "not for spectrograms (type data.features=wave)" in capsys.readouterr().err


def test_pitch_is_measured_to_a_few_cents():
    notes = [frequency_of(name) for name in NOTES]
    random = np.random.default_rng(1)
    off = [float(random.uniform(-40, 40)) for _ in NOTES]
    tuned = [pitch * 2 ** (cents / 1200) for pitch, cents in zip(notes, off, strict=True)]
    waves = torch.from_numpy(np.stack([pluck(pitch, 8192, RATE, random) for pitch in tuned]))
    found, share = pitches(waves, RATE, 240, 520)
    assert (1200 * (found / torch.tensor(tuned)).log2()).abs().max() < 4
    assert share.min() > CLEAR
    noise = torch.randn(12, 8192, generator=torch.Generator().manual_seed(0))
    assert accuracy_of_notes(noise, RATE, notes, None)[1] == 0
    error, clear = accuracy_of_notes(waves, RATE, notes, torch.arange(12))
    assert error == pytest.approx(float(np.median(np.abs(off))), abs=8)
    assert clear == 1


def test_a_folder_of_sounds_is_measured_and_refused_in_words(place, capsys):
    small = ["data=tones", "data.count=120", "data.seconds=0.512", "data.cache=cache"]
    for number, note in enumerate(NOTES):
        path = place / "made" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, pluck(frequency_of(note), 4096, RATE, np.random.default_rng(number)), RATE)
    measured = ["evaluate", "samples=made", *small, "features=pixels"]
    assert main([*measured, "metrics=[pitch,frechet]"]) == 0
    figures = json.loads((place / "made-evaluation" / "evaluation.json").read_text())["figures"]
    assert figures["pitch_error"] < 4
    assert figures["clear_pitch"] == 1
    write_folder(place)
    other = ["data=audio_folder", "data.root=sounds", "data.seconds=0.128", "data.cache=cache"]
    assert main(["evaluate", "samples=made", *other, "features=pixels", "metrics=[pitch]"]) == 2
    assert "pitch needs sounds whose classes are notes" in capsys.readouterr().err
    (place / "none").mkdir()
    assert main(["evaluate", "samples=none", *small, "features=pixels"]) == 2
    assert "samples: no sounds in 'none'" in capsys.readouterr().err


def tuned_samples(place: Path, rate: int) -> list[str]:
    """Write a sine of every note; return the words that measure them."""
    for number, note in enumerate(NOTES):
        path = place / f"made-{rate}" / f"{number}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, sine(frequency_of(note), 1.0, rate), rate)
    small = ["data=tones", "data.count=240", "data.seconds=1", f"data.sample_rate={rate}", "data.cache=cache"]
    return ["evaluate", f"samples=made-{rate}", *small, "features=pixels"]


def test_no_pitch_is_measured_at_rates_that_do_not_hold_it(place, capsys):
    """The highest pitch that is looked for is C5, 523.25 Hz: it takes a rate of more than 1,046.5 Hz."""
    slow = tuned_samples(place, 1_046)
    assert main([*slow, "metrics=[pitch]"]) == 2
    wanted = "metrics: pitch of these notes needs 1,047 Hz or more, and these sounds have 1,046. Leave it out, or train"
    assert wanted in capsys.readouterr().err
    assert not (place / "made-1046-evaluation").exists()
    assert main(slow) == 0
    told = capsys.readouterr()
    said = told.err.splitlines()
    assert said[0].startswith("aigc: pitch is not measured: pitch of these notes needs 1,047 Hz")
    assert said[1].startswith("aigc: inception_score and labels are not measured: a classifier")
    assert "features pixels of spectrograms" in " ".join(told.out.split())
    assert "distance of the spectrograms" in told.out
    assert "grey" not in told.out
    assert main([*tuned_samples(place, 1_047), "metrics=[pitch]"]) == 0
    assert json.loads((place / "made-1047-evaluation" / "evaluation.json").read_text())["figures"]["pitch_error"] < 4


def test_training_says_why_it_cannot_measure_pitch(place, capsys):
    small = ["data=tones", "data.count=120", "data.seconds=1.024", "data.sample_rate=1000", "data.cache=cache"]
    wanted = ["evaluate_every=1", "evaluation.metrics=[pitch]", "evaluation.best=pitch_error"]
    assert main(["train", *small, "model=wavegan", "steps=1", *wanted]) == 2
    assert "evaluation.metrics: pitch of these notes needs 1,047 Hz or more" in capsys.readouterr().err


def test_wavenet_draws_with_its_cache_what_it_would_without():
    """Logits within 1e-5 in fp32; in float64 the same symbols from the same noise."""
    torch.manual_seed(0)
    shapes = Shapes((96,), (96, 256), 3)
    network = WaveNet(shapes, width=16, skip=16, stacks=2, layers=4, embedding=8).eval()
    labels, tokens = torch.tensor([0, 2]), torch.randint(256, (2, 95))
    for dtype, most in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        network = network.to(dtype)
        with torch.no_grad():
            cache = network.new_cache(2)
            steps = [tokens[:, :0], *tokens.split(1, dim=1)]
            one_by_one = torch.cat([network(step, labels, cache) for step in steps], dim=1)
            assert (one_by_one - network(tokens, labels)).abs().max() < most
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    cache, quick, slow = network.new_cache(2), tokens[:, :0], tokens[:, :0]
    with torch.no_grad():
        for _ in range(95):
            quick = torch.cat([quick, draw(network(quick[:, -1:], labels, cache)[:, -1], 1.0, None, generators[0])], 1)
            slow = torch.cat([slow, draw(network(slow, labels)[:, -1], 1.0, None, generators[1])], 1)
    assert torch.equal(quick, slow)


def test_both_channels_of_a_moment_are_neighbours_to_wavenet():
    """A network whose logits name the symbol after the last one draws 0, 1, 2, 3, ...: left, right, left, right."""
    spec = DataSpec("audio", (2, 8), 256, None, Sound(8000, 8, mu_law=True))
    small = ["model.network.width=4", "model.network.skip=4", "model.network.stacks=1", "model.network.layers=2"]
    config = compose("train", ["model=wavenet", "data=tones", *small]).config["model"]
    model: Any = bind("models", config, "model")(spec).eval()
    heard = []

    def counting(tokens, condition=None, cache=None):
        heard.append(tokens)
        places = 0 if cache is None else cache.length
        new = torch.arange(places, places + tokens.shape[1] + (places == 0))
        if cache is not None:
            cache.length += len(new)
        return 99.0 * F.one_hot(new, 256).expand(len(tokens), -1, -1)

    model.network.forward = counting
    stored = model.sample(1, None, generator=torch.Generator().manual_seed(0))
    assert stored[0, 0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert stored[0, 1].tolist() == [1, 3, 5, 7, 9, 11, 13, 15]
    heard.clear()
    model.phases()[0].loss(Batch(stored, None, torch.tensor(0)))
    assert heard[0][0].tolist() == list(range(15))


def test_wavenet_wants_levels(capsys):
    small = ["data=tones", "data.count=120", "data.seconds=0.128", "data.cache=cache", "data.workers=0"]
    assert main(["train", *small, "model=wavenet", "data.mu_law=false"]) == 2
    assert "these data have 65,536. Type data.mu_law=true" in capsys.readouterr().err


def waves_of(folder: Path, pattern: str) -> torch.Tensor:
    """Return the sounds of a folder, (N, T)."""
    files = sorted(folder.glob(pattern))
    return torch.stack([torch.from_numpy(soundfile.read(file, dtype="float32")[0]) for file in files])


def test_an_autoencoder_of_sounds_is_measured_by_the_error_it_makes(place):
    small = ["data=tones", "data.count=120", "data.seconds=0.128", "data.cache=cache", "data.workers=0"]
    tiny = ["model=audio_autoencoder", "model.encoder.width=2", "model.decoder.width=2", "batch_size=12", "steps=3",
            "preview.n=12", "name=coder"]  # fmt: skip
    assert main(["train", *small, *tiny]) == 0
    assert Path("outputs/coder/samples/step-00000003.png").is_file()
    assert main(["evaluate", "ckpt=outputs/coder"]) == 0
    figures = json.loads(Path("outputs/coder/evaluation.json").read_text())["figures"]
    assert set(figures) == {"snr"}
    assert main(["reconstruct", "ckpt=outputs/coder", "n=3"]) == 0
    heard = Path("outputs/coder/samples/reconstructions-step-00000003")
    assert heard.with_suffix(".png").is_file()
    names = [f"{index:05d}-{name}.wav" for index in range(3) for name in ("given", "reconstruction")]
    assert sorted(file.name for file in heard.iterdir()) == names
    run = open_model({"ckpt": "outputs/coder", "device": "cpu"}, "Reconstructs", "")
    given, made = (waves_of(heard, f"*-{name}.wav") for name in ("given", "reconstruction"))
    x = run.model.spec.decode(given[:, None])
    with torch.no_grad():
        expected = run.model.spec.encode(run.model.reconstruct(x, None))[:, 0]
    torch.testing.assert_close(made, expected, rtol=0, atol=2e-4)
    assert (made - given).abs().max() > 0.01
    assert main(["encode", "ckpt=outputs/coder"]) == 0


def test_signal_to_noise_is_energy_over_error():
    wave = torch.from_numpy(sine(200, 0.1))[None, None]
    assert snr(wave * 0.9, wave)[0] == pytest.approx(20, abs=1e-3)
    assert snr(torch.zeros_like(wave), wave)[0] == pytest.approx(0, abs=1e-3)
    assert snr(wave, torch.zeros_like(wave))[0] == 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_spectrograms_are_drawn_and_heard_in_any_precision(place, precision):
    small = ["data=tones", "data.count=120", "data.seconds=0.064", "data.cache=cache", "data.workers=0"]
    tiny = ["model=vae", "data.features=mel", "data.bands=16", "model.encoder.widths=[8]", "model.decoder.widths=[8]",
            "batch_size=12", "steps=2", "preview.n=4", f"precision={precision}", "name=short"]  # fmt: skip
    assert main(["train", *small, *tiny]) == 0
    assert main(["sample", "ckpt=outputs/short", "n=2", f"precision={precision}", "output=made"]) == 0
    wave, rate = soundfile.read("made/00000.wav")
    assert (len(wave), rate) == (512, RATE)


def test_windows_of_another_rate_are_those_of_the_recording_resampled_whole(place):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 44_100).astype(np.float32)
    soundfile.write(place / "a.wav", noise, 44_100, subtype="FLOAT")
    whole = read_clip(place / "a.wav", 16_000, 16_000, 1)
    for begin in (0, 1_024, 5_000):
        part = read_clip(place / "a.wav", 16_000, 1_024, 1, begin=begin)
        apart = np.abs(part - whole[:, begin : begin + 1_024]).max()
        assert apart < 1e-4, (begin, apart)


def test_odd_rates_and_silence_are_read(place):
    soundfile.write(place / "odd.wav", sine(440, 0.2, 44_101), 44_101)
    clip = read_clip(place / "odd.wav", RATE, 1_024, 1)
    assert np.abs(np.fft.rfft(clip[0])).argmax() * RATE / 1024 == pytest.approx(440, abs=8)
    soundfile.write(place / "silent.wav", np.zeros(4_000), 16_000)
    assert not read_clip(place / "silent.wav", RATE, 1_024, 1, trim=True).any()


def test_white_noise_has_no_clear_pitch_at_any_rate():
    noise = torch.randn(6, 16_384, generator=torch.Generator().manual_seed(0))
    for rate in (8_000, 16_000, 44_100):
        assert accuracy_of_notes(noise, rate, [frequency_of(name) for name in NOTES], None)[1] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"levels": 256},
        {"shape": (1024,)},
        {"shape": (1, 512)},
        {"sound": None},
        {"sound": Sound(RATE, 1024, bands=64)},
        {"sound": Sound(RATE, 1024, mu_law=True)},
        {"sound": Sound(5, 1024)},
        {"kind": "image", "shape": (1, 64, 16), "levels": 256, "sound": Sound(RATE, 3, bands=64)},
        {"kind": "image", "shape": (1, 64, 16), "levels": 256, "sound": Sound(RATE, 1 << 26, bands=64)},
    ],
)
def test_a_strangers_spec_must_make_sense(change):
    about = {"spec": replace(WAVES, **change).to_dict()}
    checkpoint = Checkpoint(Path("stranger"), 1, about)
    with pytest.raises(CheckpointError, match="describes no data that aigc knows"):
        read_spec(checkpoint)
    assert read_spec(Checkpoint(Path("known"), 1, {"spec": WAVES.to_dict()})) == WAVES


def test_sounds_of_a_folder_are_as_loud_as_those_that_were_trained_on(place):
    write_folder(place)
    node = folder_of(place, normalise=True)
    pack = open_data(node)
    read = from_folder(place / "sounds", pack.spec, node).x
    assert np.abs(read).max() == pytest.approx(0.95 * 32768, abs=2)


def test_spectrograms_look_alike_once_they_have_been_sounds():
    tone = torch.from_numpy(np.stack([sine(frequency, 0.512) for frequency in (440.0, 880.0)]))[:, None]
    spec = DataSpec("image", (1, 32, 64), 256, sound=Sound(RATE, 4096, bands=32))
    stored = spec.decode(log_mel(tone, RATE, 32))
    heard = as_heard(stored, spec)
    assert heard.shape == stored.shape
    assert heard.dtype == stored.dtype
    assert made_of_spectrograms(spec)
    assert not made_of_spectrograms(WAVES)
    rows, again = stored.float().flatten(1), heard.float().flatten(1)
    likeness = torch.corrcoef(torch.cat([rows, again]))[:2, 2:]
    assert likeness.diagonal().min() > 0.9
    assert likeness[0, 1] < 0.8  # another note is less like it
