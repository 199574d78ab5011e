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
# # 4 · Findings
#
# The document's discussion, point by point, each beside what these runs show. Every figure is computed below; a sentence that
# these data cannot carry is marked as such. Fill in your own conclusions where the text asks for them.

# %%
import lab

import maskwright as mw

audit = mw.check(lab.data())
variants, backbones = lab.compared("variants"), lab.compared("backbones")
everything = lab.all_compared()
runs = {**lab.runs_of(variants), **lab.runs_of(backbones)}
print(f"data in {lab.data()}; {audit.splits}\nruns in {lab.RUNS}\nsettings: {lab.SIZE}")
print("encoders start from:", ", ".join(sorted({run.config.model.weights for run in lab.runs_of(backbones).values()})))

# %% [markdown]
# ## Do pre-built models do better than the U-Net from scratch?
#
# The document found so, with pretrained encoders. The line above tells what the encoders here started from; with `none` the
# question is another one. The first sentence below tells which models can be told apart on these test images.

# %%
print("\n".join(everything.standings.sentences))

# %% [markdown]
# ## Is bilinear up-sampling better than transposed convolution?
#
# The document found so, from one training of each. Here is the difference with its interval; when that holds 0, these images do
# not decide it. One seed each does not either: `matrix: {model.up: [transposed, bilinear], seed: [0, 1, 2]}` would train three.

# %%
for row in variants.standings.rows:
    low, high = row.difference_interval
    behind = f"{row.difference:+.3f} to the best (95 % interval {low:+.3f} to {high:+.3f}): {row.verdict}"
    print(f"{row.name:<16} test IoU {row.metrics['iou']:.3f}   {'the highest' if row.verdict == 'best' else behind}")

# %% [markdown]
# ## Do models from scratch resist overfitting better?
#
# What the diagnosis found in each run; notebook 2 has the evidence. A run in which no overfitting was found may also have been
# too short for it.

# %%
for name, run in runs.items():
    codes = [one.code for one in run.diagnose()]
    print(f"{name:<32}{'overfitting' if 'overfitting' in codes else 'no overfitting found':<24}{', '.join(codes)}")

# %% [markdown]
# ## Class imbalance, and foreground that looks like background
#
# How unequal the classes are; where the wrong pixels lie; and whether missed foreground has the background's colour more often
# than foreground as a whole. The last is a coarse test: the distance of each pixel's colour to the mean of the image's
# background and foreground.

# %%
shares = zip(audit.classes, audit.class_shares, strict=True)
print("pixels:", ", ".join(f"{name} {share:.1%}" for name, share in shares))
for comparison in (variants, backbones):
    run = lab.chosen(comparison)
    scores = run.evaluate("test").metrics
    missed, every = lab.like_background(run)
    print(f"\n{run.name}, chosen on validation")
    print(f"  precision {scores['precision']:.3f}, recall {scores['recall']:.3f}")
    print(f"  {lab.border_share(run):.0%} of the wrong pixels lie within 1 % of the diagonal of an outline")
    print(f"  nearer to the background's mean colour: {missed:.0%} of the missed foreground, {every:.0%} of all foreground")

# %% [markdown]
# ## Challenges
#
# 1. **Two channels of output and binary cross-entropy.** Notebook 1 shows that both say the same; `outputs: softmax` and `loss:
#    bce` are all it takes.
# 2. **Image and mask augmented apart.** Notebook 1 measures what that would do. Here nothing can move one without the other.
#
# ## Suggestions for improvement, as commands
#
# | the document's suggestion | to try it |
# |---|---|
# | refined augmentation | `maskwright compare` with `matrix: {augment: [light, standard, heavy]}` |
# | deeper architectures, attention | `--model unetplusplus/resnet50`, `manet/resnet34`, `segformer/b0` |
# | learning rate, batch size, regularisation | `maskwright search`, which decides on validation alone |
#
# ## Conclusions
#
# *Yours.* What may be written here is what the tables above carry: with four test images a difference is worth a sentence only
# where its interval does not hold 0.
