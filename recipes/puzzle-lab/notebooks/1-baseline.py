# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 1 · The U-Net baseline and its two variants
#
# Section 3 of the lab: a U-Net from scratch whose decoder doubles its maps by `ConvTranspose2d` or by bilinear `Upsample`,
# trained with binary cross-entropy and Adam, the best epoch chosen by validation IoU, scored on the test images.
#
# To use your own photographs, write their folder into `lab.py` (`DATA`), or set `MASKWRIGHT_DATA` before Jupyter is started.
# Folders such as `train/images`, `train/masks`, `val/…`, `test/…`, or a `pairs.csv`, are found by themselves. Without one, 18
# photographs of jigsaw pieces are drawn by a program; scores on those say nothing about yours.

# %%
import subprocess
import sys

import lab
import torch
from IPython.display import Image, Markdown, display

import maskwright as mw
from maskwright.config.models import UnetConfig
from maskwright.models.unet import build_unet

DATA = lab.data()
print(f"data in {DATA}\nruns in {lab.RUNS}\nsettings: {lab.SIZE}")

# %% [markdown]
# ## The data
#
# An audit before anything is trained: what was found, how it is split, what masks hold.

# %%
audit = mw.check(DATA)
print(audit)

# %% [markdown]
# ## Image and mask are augmented together
#
# Augmenting one without the other is the mistake the document warns of. Here every step that moves pixels goes into one matrix,
# by which image and mask are warped once. The sheet shows inputs as training draws them, the mask as an outline.

# %%
sheet = lab.RUNS / "augmented.png"
preview = ["data", "preview", DATA, "--augment", "standard", "--count", "3", "--draws", "4", "--out", sheet]
subprocess.run([sys.executable, "-m", "maskwright", *map(str, preview)], check=True)
display(Image(sheet, width=800))

# %% [markdown]
# How well do they agree? The mask itself is painted black and white and augmented as if it were the photograph, so that
# agreement can be measured as an IoU: once with its own mask, once with the mask of another draw, which is what drawing the two
# separately does.

# %%
together, apart = lab.moved_together(DATA)
print(f"moved together: IoU {together:.3f}\nmoved apart:    IoU {apart:.3f}")

# %% [markdown]
# ## The network
#
# The sizes of the lab's Figure 1, read from the network itself at 3 × 512 × 512: 64 channels at full size, doubled at each of
# four halvings.

# %%
with torch.device("meta"):  # shapes without the arithmetic
    unet = build_unet(UnetConfig(width=64), num_channels=3, num_outputs=2)
print(unet)
print(f"\nparameters: {sum(parameter.numel() for parameter in unet.parameters()):,}")

# %%
rows = []
for part, blocks in (("down", unet.encoder), ("doubling", unet.ups), ("up", unet.decoder)):
    for level, block in enumerate(blocks):
        block.register_forward_hook(lambda _, __, out, name=f"{part} {level}": rows.append((name, *out.shape[1:3])))
unet(torch.empty(1, 3, 512, 512, device="meta"))
display(Markdown("| block | channels | side |\n|---|---|---|\n" + "\n".join(f"| {n} | {c} | {s} |" for n, c, s in rows)))

# %% [markdown]
# ### Two channels and binary cross-entropy
#
# The network has a channel for background and one for foreground, with a softmax across them; binary cross-entropy wants one
# probability. The two fit: the softmax of two logits is the sigmoid of their difference, so cross-entropy of the two channels
# and binary cross-entropy of channel 1 are the same number.
# Training works on the logits, which stay exact where a probability has become 1.

# %%
logits, truth = torch.randn(1, 2, 512, 512), (torch.rand(1, 512, 512) < 0.24).long()
probabilities = logits.softmax(dim=1)
print("sums to one:          ", torch.allclose(probabilities.sum(1), torch.ones(1, 512, 512), atol=1e-5))
print("softmax = sigmoid:    ", torch.allclose(probabilities[:, 1], (logits[:, 1] - logits[:, 0]).sigmoid(), atol=1e-5))
print(f"cross-entropy of two:   {torch.nn.functional.cross_entropy(logits, truth):.6f}")
print(f"binary cross-entropy:   {torch.nn.functional.binary_cross_entropy(probabilities[:, 1], truth.float()):.6f}")

# %% [markdown]
# ### One step of training, by hand
#
# What Lightning does some hundred times below: a batch, the logits, the loss, gradients, and a step of Adam. Here the network is
# eight channels wide and sees the same two photographs 30 times, so that the loss can be seen to fall.

# %%
images, masks = lab.batch(DATA, count=2, size=128)  # N C H W from 0 to 1, N H W of class numbers
torch.manual_seed(0)
network = build_unet(UnetConfig(width=8), num_channels=3, num_outputs=2).train()
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
losses = []
for _ in range(30):
    logits = network(images)  # N 2 H W
    loss = torch.nn.functional.cross_entropy(logits, masks)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"images {tuple(images.shape)}, masks {tuple(masks.shape)}, logits {tuple(logits.shape)}")
print("loss:", ", ".join(f"{value:.3f}" for value in losses[::5]), f"… {losses[-1]:.3f}")

# %% [markdown]
# ## Training both variants
#
# `variants.yaml` holds the lab's settings. Training goes on where it stopped when this cell is run again, and a finished
# variant is not trained twice. Each epoch the weights are saved (`checkpoints/last.ckpt`), and kept when the validation IoU is
# the best so far (`checkpoints/best.ckpt`).

# %%
print((lab.RECIPE / "variants.yaml").read_text())
print("changed at this size:", lab.settings("variants") or "nothing")

if lab.begun("variants"):
    variants = mw.compare(lab.RUNS / "variants")  # go on, or read what is finished
else:
    variants = mw.compare(lab.RECIPE / "variants.yaml", data=DATA, out=lab.RUNS / "variants", **lab.settings("variants"))

# %% [markdown]
# ## Loss and IoU over the epochs
#
# The dotted line marks the epoch whose weights were kept.

# %%
runs = lab.runs_of(variants)
display(lab.curves(runs, "loss"))
display(lab.curves(runs, "iou"))

# %% [markdown]
# ## Test scores
#
# Accuracy, precision, recall, F1 and IoU of the foreground at each image's own size. The star marks the variant with the best
# validation IoU: its row is the one to report. The sentences under the table say what the number of test images allows to be
# said.

# %%
print(variants)

# %%
best = lab.chosen(variants)
print(best.evaluate("test"))

# %% [markdown]
# ## Masks
#
# Missed foreground in blue, added foreground in orange.

# %%
display(lab.masks(runs))
