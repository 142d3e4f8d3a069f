"""Every workload, in the order of the table. A new one is added to this tuple."""

from perf.workload import Workload
from perf.workloads.calls import EAGER_ADD, EAGER_OPS, EMPTY_CALL
from perf.workloads.elementwise import CHAIN, MULTIPLY_ADD
from perf.workloads.gemm import GEMM_GELU
from perf.workloads.keras_step import MLP_TRAIN_ON_BATCH
from perf.workloads.loops import GRAPHS, SCAN, SCAN_GRADIENT
from perf.workloads.mlp_step import MLP_STEP
from perf.workloads.rows import COLUMN_SQUARES, LAYER_NORM, SOFTMAX

WORKLOADS: tuple[Workload, ...] = (
    MLP_STEP,
    MLP_TRAIN_ON_BATCH,
    CHAIN,
    MULTIPLY_ADD,
    SOFTMAX,
    LAYER_NORM,
    COLUMN_SQUARES,
    GEMM_GELU,
    SCAN,
    SCAN_GRADIENT,
    *GRAPHS,
    EMPTY_CALL,
    EAGER_ADD,
    *EAGER_OPS,
)
