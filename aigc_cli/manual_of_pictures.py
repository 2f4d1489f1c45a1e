"""The help texts of the verbs that put pictures into a trained model."""

from __future__ import annotations

SHARED = """\
  samples=FOLDER             pictures of your own; left out: held-out data of the set that it was trained on
  n=100  seed=0              only so many of them
  data.root=PATH             where the data lie now
  output=PATH                where to write
"""

RECONSTRUCT = (
    """\
usage: aigc reconstruct ckpt=PATH [samples=FOLDER] [key=value ...]

Draw rows of pictures over rows of what a model with a bottleneck (autoencoder, vae, vqvae) makes of them.

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

Write the codes of pictures with their names and labels, and a map of the latent space as a picture.

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

Score each picture by how badly the model knows it; write a ranked table and a histogram.

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
usage: aigc denoise ckpt=PATH samples=FOLDER [output=FOLDER] [key=value ...]

Take the noise out of a folder's pictures with a denoising_autoencoder, which brings them to its own size.

examples:
  aigc denoise ckpt=outputs/denoising_autoencoder-mnist samples=scans output=clean
"""

UPSCALE = """\
usage: aigc upscale ckpt=PATH samples=FOLDER [output=FOLDER] [key=value ...]

Enlarge a folder's pictures, of any sizes, with a super_resolution model.

examples:
  aigc upscale ckpt=outputs/super_resolution-image_folder samples=small output=large
"""

TRANSLATE = """\
usage: aigc translate ckpt=PATH samples=FOLDER [key=value ...]

Turn every picture of a folder into another by a model that learnt it from pairs (model=pix2pix), under the same names.

often used:
  output=PATH                the folder to write to
  seed=0                     of the noise in the model's dropout
  batch_size=64  device=auto pictures at once, and where

examples:
  aigc train model=pix2pix data=picture_pairs data.root=pairs data.size=256
  aigc translate ckpt=outputs/pix2pix-picture_pairs samples=drawings
"""

STYLIZE = """\
usage: aigc stylize content=PATH style=PICTURE [key=value ...]
       aigc stylize content=PATH ckpt=RUN [key=value ...]

Paint a picture, or a folder of them, in the style of another: by changing its pixels until VGG-19 sees both, or in a
single pass by a network that was trained for that style.

often used:
  weights=vgg19.pth          VGG-19's weights, where there is no network to fetch them (548 MB)
  size=512                   pixels of the longer side
  steps=300                  passes through VGG-19 for each picture
  style_weight=100           more: closer to the style; content_weight=1 more: closer to the picture
  smoothness=0.1             more: fewer specks
  start=noise  seed=0        from random pixels instead of the picture's
  preserve_colour=true       the picture's own colours
  output=PATH                where to write
  device=auto                where to compute

examples:
  aigc stylize content=photo.jpg style=painting.jpg weights=vgg19-dcbb9e9d.pth
  aigc train model=fast_style model.style=painting.jpg data=image_folder data.root=photos data.size=256
  aigc stylize content=holiday ckpt=outputs/fast_style-image_folder
"""

OF_PICTURES = {"reconstruct": RECONSTRUCT, "encode": ENCODE, "anomaly": ANOMALY, "denoise": DENOISE, "upscale": UPSCALE,
               "translate": TRANSLATE, "stylize": STYLIZE}  # fmt: skip
