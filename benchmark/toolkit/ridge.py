"""Ridge regression from features to labels, task after task: recursive, or by a kernel.

The two regressions of RAIL (Xu et al., NeurIPS 2024). They are told features and labels and know
no backbone: the features of a task may come from another state of the encoder than those of the
task before, and are never computed again. `toolkit.ridge_head` puts them beside a classifier.

Shapes: N samples so far · F hidden units · S columns, one for each class of each learned task, in
the order of learning; a class name that two tasks share has two. Everything is float64: what is
recursive here stays equal to the joint solution, and scores do not depend on the batch.
"""

from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BenchError
from ..protocol.config import require


class Primal(nn.Module):
    """Recursive ridge regression on random hidden features phi = ReLU(W_h f).

    Of the samples it keeps R = (sum phi phi^T + ridge I)^-1 and W = R sum phi y^T, and takes up
    a batch Phi (B, F) with labels Y in the order of RAIL's recursion, with L L^T = I + Phi R Phi^T
    and P = L^-1 Phi R:

        W <- W + P^T L^-1 (Y - Phi W),      R <- R - P^T P.

    R is not stored at first: R = I / ridge - V^T V, where the rows of V are those of all P. That
    is exact, and while there are fewer samples than hidden units it is smaller and faster (N F
    numbers instead of F^2: 0.1 instead of 1.8 GB for 800 samples and 15,000 units). Where V would
    be half as large as R, R takes its place. `finish` turns V into a triangular factor, which
    tells what R tells and nothing more of any sample.

    No factorisation of the F x F matrix is ever needed, unlike with the normal matrix, which costs
    F^3 / 3 at every task: here a batch costs 2 B F N multiplications, or 2 B F^2 once R is there.

    Args:
        dim: D, length of a feature.
        hidden: number of hidden units; 0 takes the features as they are.
        ridge: the penalty on W's squared norm, above 0.
        generator: draws W_h as torch initialises a linear map, uniform within 1 / sqrt(D).
    """

    training_only = ("down_NF", "inverse_FF")

    def __init__(self, dim: int, hidden: int, ridge: float, generator: torch.Generator) -> None:
        super().__init__()
        self.ridge = ridge
        size = hidden or dim
        drawn_DF = torch.rand(dim, hidden, generator=generator, dtype=torch.float64)
        self.hidden_DF: Tensor = nn.Buffer((2 * drawn_DF - 1) / dim**0.5)
        self.down_NF: Tensor = nn.Buffer(drawn_DF.new_zeros(0, size))
        self.inverse_FF: Tensor = nn.Buffer(drawn_DF.new_zeros(0, 0))
        self.weight_FS: Tensor = nn.Buffer(drawn_DF.new_zeros(size, 0))

    @torch.no_grad()
    def update(self, feature_BD: Tensor, label_B: Tensor, columns: int) -> None:
        """Take up a batch.

        Args:
            feature_BD: image features.
            label_B: int64, the column of each, in [0, columns).
            columns: S from now on, at least as many as before; new ones start at zero.

        Raises:
            BenchError: the ridge is lost in rounding.
        """
        phi_BF = self._hidden(feature_BD)
        self.weight_FS = _grown(self.weight_FS, len(self.weight_FS), columns)
        gain_FB = self._times_inverse(phi_BF.T)
        gram_BB = phi_BF @ gain_FB
        gram_BB.diagonal().add_(1)
        factor_BB = _factor(gram_BB, self.ridge)
        p_BF = torch.linalg.solve_triangular(factor_BB, gain_FB.T, upper=False)
        error_BS = F.one_hot(label_B, columns) - phi_BF @ self.weight_FS
        self.weight_FS += p_BF.T @ torch.linalg.solve_triangular(factor_BB, error_BS, upper=False)
        if len(self.inverse_FF):
            self.inverse_FF.addmm_(p_BF.T, p_BF, alpha=-1)
            return
        self.down_NF = torch.cat([self.down_NF, p_BF])
        if 2 * len(self.down_NF) > self.down_NF.shape[1]:
            self._fold()

    def finish(self) -> None:
        """After a task's last batch: forget which sample gave which row."""
        if len(self.down_NF):
            self.down_NF = torch.linalg.qr(self.down_NF, mode="r").R.contiguous()

    @torch.no_grad()
    def scores(self, feature_BD: Tensor) -> Tensor:
        """Features -> (B, S), float64: about 1 for the class, 0 for others, unbounded."""
        return self._hidden(feature_BD) @ self.weight_FS

    def _hidden(self, feature_BD: Tensor) -> Tensor:
        if not self.hidden_DF.shape[1]:
            return feature_BD.double()
        return (feature_BD.double() @ self.hidden_DF).relu_()

    def _times_inverse(self, x_FB: Tensor) -> Tensor:
        """R x."""
        if len(self.inverse_FF):
            return self.inverse_FF @ x_FB
        return x_FB / self.ridge - self.down_NF.T @ (self.down_NF @ x_FB)

    def _fold(self) -> None:
        """From V to R."""
        size = self.down_NF.shape[1]
        self.inverse_FF = self.down_NF.new_zeros(size, size)
        self.inverse_FF.diagonal().add_(1 / self.ridge)
        self.inverse_FF.addmm_(self.down_NF.T, self.down_NF, alpha=-1)
        self.down_NF = self.down_NF.new_zeros(0, size)


class Dual(nn.Module):
    """Kernel ridge regression on stored features: alpha = (K + ridge I)^-1 Y.

    Solved anew by Cholesky after every task, with 2 N^2 numbers in passing (5 GB for 17,600
    samples); features (as they were given), labels and alpha are kept, N (D + 1 + S) numbers.

    Args:
        dim: D, length of a feature.
        ridge: the penalty, above 0.
        gamma: of the kernel exp(-gamma |x - x'|^2); None takes the linear one, x . x'.
    """

    training_only = ("label_N",)

    def __init__(self, dim: int, ridge: float, gamma: float | None) -> None:
        super().__init__()
        self.ridge, self.gamma = ridge, gamma
        self.feature_ND: Tensor = nn.Buffer(torch.zeros(0, dim))
        self.label_N: Tensor = nn.Buffer(torch.zeros(0, dtype=torch.int64))
        self.alpha_NS: Tensor = nn.Buffer(torch.zeros(0, 0, dtype=torch.float64))

    @torch.no_grad()
    def update(self, feature_BD: Tensor, label_B: Tensor, columns: int) -> None:
        """Store a batch; it counts from `finish` on. Arguments as in `Primal.update`."""
        self.feature_ND = torch.cat([self.feature_ND, feature_BD])
        self.label_N = torch.cat([self.label_N, label_B])
        self.alpha_NS = _grown(self.alpha_NS, len(self.label_N), columns)

    @torch.no_grad()
    def finish(self) -> None:
        """After a task's last batch: solve.

        Raises:
            BenchError: the ridge is lost in rounding.
        """
        gram_NN = self._kernel(self.feature_ND)
        gram_NN.diagonal().add_(self.ridge)
        factor_NN = _factor(gram_NN, self.ridge)
        one_hot_NS = F.one_hot(self.label_N, self.alpha_NS.shape[1])
        self.alpha_NS = torch.cholesky_solve(one_hot_NS.double(), factor_NN).contiguous()

    @torch.no_grad()
    def scores(self, feature_BD: Tensor) -> Tensor:
        """Features -> (B, S), float64, as in `Primal.scores`."""
        return self._kernel(feature_BD) @ self.alpha_NS

    def _kernel(self, feature_BD: Tensor) -> Tensor:
        x_BD, y_ND = feature_BD.double(), self.feature_ND.double()
        product_BN = x_BD @ y_ND.T
        if self.gamma is None:
            return product_BN
        squares_BN = x_BD.square().sum(dim=1)[:, None] + y_ND.square().sum(dim=1)
        distance_BN = product_BN.mul_(-2).add_(squares_BN).clamp_(min=0)
        return distance_BN.mul_(-self.gamma).exp_()


def check_ridge(ridge: float, beta: float) -> None:
    """Refuse values that mean nothing.

    Raises:
        BenchError: ridge not above 0 and finite, or beta outside [0, 1].
    """
    require(0 < ridge < inf, "a finite ridge above 0", ridge)
    require(0 <= beta <= 1, "beta in [0, 1]", beta)


def _factor(gram_BB: Tensor, ridge: float) -> Tensor:
    """Cholesky's lower factor.

    Raises:
        BenchError: rounding leaves the matrix not positive definite.
    """
    factor_BB: Tensor
    factor_BB, failed = torch.linalg.cholesky_ex(gram_BB)
    if int(failed):
        raise BenchError(
            "a ridge that float64 can tell from 0 beside the features", f"{ridge}", "raise it"
        )
    return factor_BB


def _grown(table: Tensor, rows: int, columns: int) -> Tensor:
    """The table with zeros below and to the right."""
    grown = table.new_zeros(rows, columns)
    grown[: table.shape[0], : table.shape[1]] = table
    return grown
