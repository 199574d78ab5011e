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
# # 3 · Other architectures
#
# Section 4 of the lab: U-Net and DeepLabV3+ of segmentation-models-pytorch, each with ResNet34, EfficientNet-B0 and
# MobileNetV2. Binary cross-entropy, Adam, the best epoch by validation loss. Then all eight models in one table, on the same
# test images.

# %%
import lab
from IPython.display import Markdown, display

print(f"data in {lab.data()}\nruns in {lab.RUNS}\nsettings: {lab.SIZE}")
print((lab.RECIPE / "backbones.yaml").read_text())
print("changed at this size:", lab.settings("backbones") or "nothing")

# %% [markdown]
# `weights: imagenet` is what these encoders start from unless `--weights none` says otherwise; the weights are fetched once and
# kept. Without a network, set `MASKWRIGHT_FLAGS="--weights none"`: then they learn from ten photographs alone, which is another
# experiment than the document's.

# %%
backbones = lab.compared("backbones")
runs = lab.runs_of(backbones)
for name, run in runs.items():
    print(f"{name:<32} weights {run.config.model.weights:<10} {run}")

# %% [markdown]
# ## The six on the test images
#
# The star marks the lowest validation loss.

# %%
display(Markdown((backbones.root / "table.md").read_text()))

# %% [markdown]
# ## All eight
#
# The baseline's two variants beside the six. Runs made with unlike settings (the six start from a lower learning rate, and
# epochs differ with the size) are compared as they are: the table says how the models did, not which architecture is better.

# %%
everything = lab.all_compared()  # mw.compare(run, run, …) of the eight
display(Markdown((everything.root / "table.md").read_text()))

# %% [markdown]
# ## Where the masks differ
#
# Missed foreground in blue, added foreground in orange, the IoU of each image above. The comparison's page (`report.html`)
# shows the images on which the models disagree most, with the scores of each.

# %%
display(lab.masks({**lab.runs_of(lab.compared("variants")), **runs}))
print("the page:", everything.root / "report.html")
