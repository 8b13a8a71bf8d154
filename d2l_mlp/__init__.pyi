from .data import BatchLoader as BatchLoader
from .data import get_fashion_mnist_labels as get_fashion_mnist_labels
from .data import load_data_fashion_mnist as load_data_fashion_mnist
from .models import gluon_twin as gluon_twin
from .models import init_params as init_params
from .models import load_params as load_params
from .models import make_net as make_net
from .models import relu as relu
from .plotting import plot_curves as plot_curves
from .plotting import plot_predictions as plot_predictions
from .plotting import plot_weights as plot_weights
from .plotting import set_figsize as set_figsize
from .plotting import show_fashion_mnist as show_fashion_mnist
from .plotting import use_svg_display as use_svg_display
from .releases import DataError as DataError
from .run import Run as Run
from .run import Settings as Settings
from .run import headline as headline
from .training import EpochResult as EpochResult
from .training import TrainingDiverged as TrainingDiverged
from .training import evaluate_accuracy as evaluate_accuracy
from .training import seed_everything as seed_everything
from .training import sgd as sgd
from .training import train_ch3 as train_ch3
from .training import train_epochs as train_epochs

__version__: str
