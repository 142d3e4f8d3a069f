"""Linear algebra on stacks of matrices: the Array API's extension, and some of SciPy's.

Everything but `eig` and `eigvals` compiles; all of it has gradients.
"""

from jitflow.linalg.decompositions import (
    cholesky,
    eig,
    eigh,
    eigvals,
    eigvalsh,
    lu,
    lu_factor,
    qr,
    svd,
    svdvals,
)
from jitflow.linalg.functions import expm, multi_dot
from jitflow.linalg.norms import cond, matrix_norm, norm, vector_norm
from jitflow.linalg.solvers import (
    cholesky_solve,
    det,
    inv,
    lstsq,
    matrix_power,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_triangular,
)
from jitflow.ops.linear_algebra import (
    diagonal,
    matmul,
    outer,
    tensordot,
    trace,
    vecdot,
)
from jitflow.ops.manipulation import matrix_transpose
from jitflow.ops.products import cross

__all__ = [
    "cholesky",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "expm",
    "inv",
    "lstsq",
    "lu",
    "lu_factor",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]
