"""A search as figures: its history, which settings mattered, and the good trials."""

from __future__ import annotations

import warnings

import optuna
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import TrialState
from optuna.visualization import matplotlib as pictures


def draw(study: optuna.Study, title: str = "") -> dict[str, Figure]:
    """Return figures by name; none for fewer than four completed trials.

    Args:
        study: the search.
        title: a line above each.
    """
    if len(study.get_trials(states=(TrialState.COMPLETE,))) < 4:
        return {}
    with warnings.catch_warnings(), plt.rc_context({"font.size": 9.5}):
        warnings.simplefilter("ignore", ExperimentalWarning)
        value = "accuracy on held-out images"
        axes = {
            "history": pictures.plot_optimization_history(study, target_name=value),
            # Of the settings that every trial has.
            "importance": pictures.plot_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(), target_name=value
            ),
            "parallel": pictures.plot_parallel_coordinate(
                study,
                params=["num_epochs", "lr", "num_layers", "units_1", "batch_size"],
                target_name=value,
            ),
        }
    figures = {}
    for name, drawn in axes.items():
        figure = drawn.get_figure(root=True)
        assert figure is not None
        figure.set_size_inches(8.8, 4.4)
        # Optuna puts one of its titles at the left.
        drawn.set_title("", loc="left")
        drawn.set_title(title, fontsize="medium")
        figure.tight_layout()
        figures[name] = figure
    return figures
