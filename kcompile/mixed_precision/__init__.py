"""Mixed precision, under the names that Keras has for it here."""

from kcompile.dtype_policies import DTypePolicy, dtype_policy, set_dtype_policy
from kcompile.training.optimizers import LossScaleOptimizer

Policy = DTypePolicy
global_policy = dtype_policy
set_global_policy = set_dtype_policy

__all__ = [
    "DTypePolicy",
    "LossScaleOptimizer",
    "Policy",
    "dtype_policy",
    "global_policy",
    "set_dtype_policy",
    "set_global_policy",
]
