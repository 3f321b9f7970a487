"""What `xrouter check` and `xrouter explain` say about settings, what they need, and one request, as plain text."""

from .asking import survey, unlisted_targets
from .describing import describe_layers, describe_models, describe_providers, find_risks, layers_of
from .explaining import describe_decision, explain, sample_request
from .probing import probe
from .statuses import PartStatus, describe_statuses, in_columns

__all__ = [
    "PartStatus",
    "describe_decision",
    "describe_layers",
    "describe_models",
    "describe_providers",
    "describe_statuses",
    "explain",
    "find_risks",
    "in_columns",
    "layers_of",
    "probe",
    "sample_request",
    "survey",
    "unlisted_targets",
]
