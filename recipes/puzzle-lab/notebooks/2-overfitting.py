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
# # 2 · Overfitting
#
# Sections 3.2 and 4 of the lab ask whether the models overfit, how that is recognised, and what can be done. All eight runs are
# read here: the two variants of the baseline, and U-Net and DeepLabV3+ with three backbones each. What was not trained yet is
# trained now.

# %%
import lab
from IPython.display import display

print(f"data in {lab.data()}\nruns in {lab.RUNS}\nsettings: {lab.SIZE}")
runs = {**lab.runs_of(lab.compared("variants")), **lab.runs_of(lab.compared("backbones"))}

# %% [markdown]
# ## Curves
#
# How to read them: while training *and* validation loss fall, the network learns what holds for new images too. Where the
# validation loss turns and rises while the training loss goes on falling, it learns its ten training images by heart. Training
# inputs are augmented and validation images are not, so at first the validation loss may lie below. The dotted line is the
# epoch that was kept: by validation IoU for the baseline, by validation loss for the six, as the lab asks. What comes after it
# is not used.

# %%
display(lab.curves(runs, "loss"))

# %%
display(lab.curves(runs, "iou"))

# %% [markdown]
# ## The numbers behind them
#
# `rise`: how far the last validation loss lies above the lowest. `gap`: training IoU less validation IoU in the last epoch.

# %%
print(f"{'run':<32}{'epochs':>7}{'kept':>6}{'lowest val loss':>17}{'last':>8}{'rise':>8}{'gap':>8}")
for name, run in runs.items():
    history, monitor = run.history, run.config.train.monitor
    losses = [row["val_loss"] for row in history]
    kept = (max if monitor == "val_iou" else min)(range(len(history)), key=lambda epoch: history[epoch][monitor])
    rise, gap = losses[-1] / min(losses) - 1, history[-1]["train_iou"] - history[-1]["val_iou"]
    print(f"{name:<32}{len(history):>7}{kept + 1:>6}{min(losses):>17.4f}{losses[-1]:>8.4f}{rise:>8.0%}{gap:>+8.3f}")

# %% [markdown]
# ## What the curves allow to be said
#
# `diagnose` reads the curves and counts of each run and says what they show, on what evidence, and what to try; it never looks
# at test scores. It says so where a curve is too short, or where four validation images are too few. For the two runs that were
# chosen, the validation images are scored one by one first, which lets it say more.

# %%
for comparison in (lab.compared("variants"), lab.compared("backbones")):
    lab.chosen(comparison).evaluate("val")

# %%
for name, run in runs.items():
    print(f"── {name}")
    for one in run.diagnose():
        print(f"{one.severity:<8}{one.title}\n        {one.evidence}\n        Next: {one.advice}")
    print()

# %% [markdown]
# ## What can be done about it
#
# | means | how |
# |---|---|
# | keep the best epoch, not the last | done: `train.monitor` |
# | stop when nothing improves | `--train.early_stop 10` |
# | show more than there is | `--augment heavy`, or a list of one's own (`maskwright data preview` shows it) |
# | an encoder that has seen other images | `--weights imagenet`, the default of `unet/resnet34` and the others |
# | fewer weights | `--model.width 32`, or a smaller backbone |
# | weight decay | `--optim.name adamw --weight-decay 0.02` |
# | more labelled images | the surest of all |
#
# ## The same curves in Weights & Biases
#
# The plots the lab asks to hand in, as a W&B dashboard lays them out: a panel for each quantity, a line for each run.

# %%
display(lab.dashboard(runs))

# %% [markdown]
# With `MASKWRIGHT_FLAGS="--log csv,tensorboard,wandb"` (and `pip install -c constraints.txt -e '.[wandb]'`)
# the same numbers, panels and curves are written for W&B: offline into the run folder, or online where `WANDB_MODE=online` is set and
# `wandb login` was done.

# %%
for name, run in runs.items():
    kept = run.root / "wandb"
    print(f"{name:<32}", f"wandb sync {kept}" if kept.is_dir() else "not logged to W&B")
