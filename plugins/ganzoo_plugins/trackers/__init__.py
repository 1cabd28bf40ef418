"""Trackers: TensorBoard, trackio, Weights & Biases and MLflow, each with the package of its name.

Every tracker keeps the settings of its package, which are environment variables: ganzoo has none of its own.
"""

from ganzoo import Register, hookimpl

ganzoo_api = 2


@hookimpl
def register_trackers(register: Register) -> None:
    from ganzoo_plugins.trackers.mlflow_runs import MLflow
    from ganzoo_plugins.trackers.tensorboard_events import TensorBoard
    from ganzoo_plugins.trackers.trackio_runs import Trackio
    from ganzoo_plugins.trackers.wandb_runs import WeightsAndBiases

    register("tensorboard", TensorBoard)
    register("trackio", Trackio)
    register("wandb", WeightsAndBiases)
    register("mlflow", MLflow)
