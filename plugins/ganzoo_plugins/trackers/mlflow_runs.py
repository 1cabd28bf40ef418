"""Runs of MLflow, on a server or in a folder of files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ganzoo.errors import UsageError
from ganzoo.tracking import Outcome, Tracker

from .run_names import keep_name, known_name

EXPERIMENT = "ganzoo"
LONGEST_VALUE = 500  # of a parameter, in every version
STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "diverged": "FAILED", "failed": "FAILED"}


class MLflow(Tracker):
    """Logs to MLFLOW_TRACKING_URI, or to files in `mlruns/` of the run; the experiment is MLFLOW_EXPERIMENT_NAME.

    A resumed run goes on in the same run of the experiment. UsageError without the package mlflow.
    """

    def __init__(self, folder: Path):
        try:
            import mlflow
        except ImportError:
            raise UsageError(
                "--track mlflow needs the package mlflow: pip install mlflow, or mlflow-skinny for its client alone."
            ) from None
        self.folder, self._mlflow = Path(folder), mlflow
        self._client: Any = None
        self._run = ""

    def start(self, config: Mapping[str, Any]) -> None:
        store = os.environ.get("MLFLOW_TRACKING_URI")
        if not store:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.7 and later ask for it
            store = (self.folder / "mlruns").absolute().as_uri()
        self._client = self._mlflow.MlflowClient(store)
        known = known_name(self.folder, "mlflow")
        if known:
            self._run = known
            self._client.update_run(known, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        experiment = self._client.get_experiment_by_name(name)
        identity = experiment.experiment_id if experiment else self._client.create_experiment(name)
        self._run = self._client.create_run(identity, run_name=self.folder.name).info.run_id
        keep_name(self.folder, "mlflow", self._run)
        for key, value in _flat(config):
            self._client.log_param(self._run, key, str(value)[:LONGEST_VALUE])

    def log(self, step: int, values: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metric = self._mlflow.entities.Metric
        self._client.log_batch(self._run, [metric(name, value, now, step) for name, value in values.items()])

    def image(self, step: int, name: str, picture: Any) -> None:
        self._client.log_image(self._run, picture.convert("RGB"), f"{name}/step-{step:09d}.png")

    def finish(self, outcome: Outcome) -> None:
        self._client.set_terminated(self._run, STATUS[outcome])


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of nested dicts with dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
