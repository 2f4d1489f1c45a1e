"""The help texts of the verbs that put pictures, or sounds and texts, into a trained model."""

from __future__ import annotations

SHARED = """\
  samples=FOLDER             pictures of your own, or sounds; of models of text a .txt (a text a line) or .jsonl; left
                             out: held-out data of the set that it was trained on
  n=100  seed=0              only so many of them
  data.root=PATH             where the data lie now
  output=PATH                where to write
"""

RECONSTRUCT = (
    """\
usage: aigc reconstruct ckpt=PATH [samples=FOLDER] [key=value ...]

Draw rows of pictures over rows of what a model with a bottleneck (autoencoder, vae, vqvae) makes of them; of texts
(text_vae) write each over what becomes of it; of sounds (audio_autoencoder) WAV files too, in a
folder beside the sheet.

often used:
  label=7                    only of this class
"""
    + SHARED
    + """
examples:
  aigc reconstruct ckpt=outputs/autoencoder-glyphs
  aigc reconstruct ckpt=outputs/vae-mnist n=64 label=[3,5] output=threes.png
"""
)

ENCODE = (
    """\
usage: aigc encode ckpt=PATH [samples=FOLDER] [key=value ...]

Write the codes of pictures or texts with their names and labels, and a map of the latent space as a picture.

often used:
  format=npy                 npy, safetensors
  split=test                 of the data: test, train
  map=false                  no picture
"""
    + SHARED
    + """
examples:
  aigc encode ckpt=outputs/vae-mnist
  aigc encode ckpt=outputs/vae-mnist samples=scans format=safetensors output=scans.safetensors
"""
)

ANOMALY = (
    """\
usage: aigc anomaly ckpt=PATH [samples=FOLDER] [key=value ...]

Score each picture or text by how badly the model knows it; write a ranked table and a histogram. Any model of text
scores texts: in nats a symbol, running text in nats a window.

often used:
  usual=good                 labels (sub-folders) that are usual: how well scores tell the others from them
  split=test                 of the data: test, train
"""
    + SHARED
    + """
examples:
  aigc anomaly ckpt=outputs/autoencoder-image_folder samples=parts usual=good
  aigc anomaly ckpt=outputs/autoencoder-mnist usual=[0,1,2]
"""
)

DENOISE = """\
usage: aigc denoise ckpt=PATH samples=PATH [output=FOLDER] [key=value ...]

Take the noise out of a folder's pictures with a denoising_autoencoder, which brings them to its own size.

examples:
  aigc denoise ckpt=outputs/denoising_autoencoder-mnist samples=scans output=clean
"""

UPSCALE = """\
usage: aigc upscale ckpt=PATH samples=PATH [output=FOLDER] [key=value ...]

Enlarge a folder's pictures, of any sizes, with a super_resolution model.

examples:
  aigc upscale ckpt=outputs/super_resolution-image_folder samples=small output=large
"""

OF_PICTURES = {"reconstruct": RECONSTRUCT, "encode": ENCODE, "anomaly": ANOMALY, "denoise": DENOISE, "upscale": UPSCALE}
