"""Weights & Biases: epochs, panels as masks over images, curves, configuration, best scores, an evaluation's tables."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskwright.config import Config
from maskwright.config.log import WandbLog
from maskwright.data.dataset import IGNORE
from maskwright.data.record import class_map
from maskwright.runs import Run
from maskwright.training.loggers.base import KINDS, Ending, Epoch, Logger, Panel, Scored, Table
from maskwright.training.loggers.choice import has_key, wandb_mode
from maskwright.training.loggers.environment import Environment, first_line
from maskwright.training.loggers.run_ids import new_run_id, note, read_run_ids
from maskwright.training.loggers.wandb_files import drop_empty, held

_FINISH_SECONDS = 120.0  # what is not sent by then stays in the run folder, for `wandb sync`
_FLUSH_SECONDS = 1.0  # a killed process leaves out no more than this


class WandbRun(Logger):
    """The W&B run of a run folder, begun or gone on with under the same id."""

    def __init__(self, run: Run, config: Config, options: WandbLog) -> None:
        entry = read_run_ids(run).get("wandb") or {
            "id": new_run_id(),
            "project": options.project or os.environ.get("WANDB_PROJECT") or "maskwright",
            "entity": options.entity or os.environ.get("WANDB_ENTITY"),
        }
        note(run, "wandb", entry)
        self.folder, self.id = run.root.absolute() / "wandb", str(entry["id"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self._labels = {**dict(enumerate(class_map(run.data).names)), IGNORE: "ignored"}
        self._environment = Environment(
            {
                "WANDB_SILENT": "true",
                "WANDB_ERROR_REPORTING": "false",  # to W&B, about W&B
                "WANDB_DATA_DIR": str(self.folder / "data"),
                "WANDB_CACHE_DIR": str(self.folder / "cache"),
            }
        )
        try:
            drop_empty(self.folder, self.id)
            self._start(run, config, options, entry, wandb_mode(options))
        except BaseException:
            self._leave()
            raise

    def epoch(self, epoch: Epoch) -> None:
        panels = {f"panels/{panel.key}": self._picture(panel) for panel in epoch.panels}
        self._log({"epoch": epoch.number, **epoch.scalars, **panels}, epoch.number)

    def best(self, scores: Mapping[str, float], run: Run) -> None:
        """The best epoch's scores in the summary, and train beside val as curves."""
        import wandb

        self._run.summary.update({f"best/{name}": value for name, value in scores.items()})
        rows = run.history
        charts = {}
        for kind, title in KINDS.items():
            if f"val_{kind}" not in rows[0]:
                continue  # a history from before there was this score
            lines = [[row[f"{split}_{kind}"] for row in rows] for split in ("train", "val")]
            epochs = [int(row["epoch"]) for row in rows]
            charts[f"curves/{kind}"] = wandb.plot.line_series(epochs, lines, ["train", "val"], title, "epoch")
        self._log(charts)

    def evaluation(self, scored: Scored) -> None:
        tables = {"per_class": scored.per_class, "per_image": scored.per_image}
        self._log({f"{scored.split}/{name}": _table(table) for name, table in tables.items()})
        self._run.summary.update(scored.scores)

    def file(self, path: Path) -> None:
        """A page is shown as one; any other file is kept as it is."""
        import wandb

        if path.suffix == ".html":
            self._log({path.stem: wandb.Html(path.read_text(encoding="utf-8"), inject=False)})
        else:
            self._run.save(str(path), base_path=str(path.parent), policy="now")

    def close(self, ending: Ending) -> None:
        try:
            self._run.finish(exit_code=0 if ending == "finished" else 1)
        finally:
            self._leave()

    def _log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """A step of its own: an epoch's number, or the next one that is free."""
        self._last = self._last + 1 if step is None else step
        self._run.log(dict(values), step=self._last, commit=True)

    def _start(self, run: Run, config: Config, options: WandbLog, entry: Mapping[str, Any], mode: str) -> None:
        import wandb

        wanted = {
            "root_dir": str(run.root.absolute()), "console": "off", "silent": True, "disable_git": True,
            "save_code": False, "x_transaction_log_flush_interval": _FLUSH_SECONDS, "finish_timeout": _FINISH_SECONDS,
            "finish_timeout_raises": True, "init_timeout": 30.0,
        }  # fmt: skip
        known = wandb.Settings.model_fields  # some are younger than the oldest W&B we work with
        settings = wandb.Settings(**{name: value for name, value in wanted.items() if name in known})

        def begin(mode: Any) -> Any:
            plain = config.model_dump(mode="json", exclude={"log"})  # where it logs to may hold a server's password
            return wandb.init(
                mode=mode, project=entry["project"], entity=entry["entity"], id=self.id, name=run.name,
                group=options.group, tags=options.tags, config=plain, resume="allow", reinit="create_new",
                settings=settings,
            )  # fmt: skip

        self.place = f"offline in {self.folder}; wandb sync {self.folder} would send it"
        with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
            wandb.setup()  # it takes a server's address from ./wandb/settings, which may be anybody's
        if mode == "online":
            try:
                if not has_key():  # it would ask for one
                    raise ConnectionError("no key is known")
                self._run = begin("online")
                self.place = f"online, {self._run.url}"
            except Exception as error:  # noqa: BLE001 - of many kinds; the run must not wait for a network
                self.place, self.astray, mode = f"not reached ({first_line(error)}), so {self.place}", True, "offline"
                with contextlib.suppress(Exception):
                    wandb.teardown()
        if mode == "offline":
            self._run = begin("offline")
        self.recorded = self._last = int(self._run.starting_step) - 1
        if mode == "offline":
            # W&B begins each file afresh: uploaded one after the other, steps must follow each other, and the last
            # summary stays
            before = held(self.folder, self.id)
            self.recorded, self._last = before.epoch, before.step
            self._run.summary.update(before.summary)
        self._run.define_metric("epoch", hidden=True)
        for tag in (*(f"{kind}/*" for kind in KINDS), "lr", "encoder_lr"):
            self._run.define_metric(tag, step_metric="epoch")

    def _picture(self, panel: Panel) -> Any:
        import wandb

        image, truth, labels = panel.small
        masks = {"truth": truth, "prediction": labels}
        return wandb.Image(
            image,
            caption=panel.name,
            masks={name: {"mask_data": mask, "class_labels": self._labels} for name, mask in masks.items()},
        )

    def _leave(self) -> None:
        """End W&B's process and threads, unless a run of the user's own is at work beside ours."""
        import wandb

        if wandb.run is None:
            with contextlib.suppress(Exception):  # its process may be gone already
                wandb.teardown()
        self._environment.restore()
        shutil.rmtree(self.folder / "cache", ignore_errors=True)  # its own logs, and copies of what it keeps elsewhere


def _table(table: Table) -> Any:
    import wandb

    return wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])


def open_wandb(run: Run, config: Config, options: WandbLog, first_epoch: int | None) -> WandbRun | None:
    """The run's W&B run; None when WANDB_MODE is disabled."""
    return None if wandb_mode(options) == "disabled" else WandbRun(run, config, options)
