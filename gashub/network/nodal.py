"""The network as arrays, and the sparse linear system that one Newton step solves.

Unknown is u, the square of absolute pressure brought to one height, so that gas at rest has one u everywhere. The
matrix of a step is the Laplacian of the pipes' slopes, the regulators' two slopes each, and a diagonal (line pack,
demand, holes). More than half of a town's junctions are ends of house connections: such leaves are eliminated at
once with numpy, and SuperLU factorises the rest in an order found when the network was compiled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csc_matrix
from scipy.sparse.linalg import splu

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Graph:
    """Who is connected to whom. `start` and `end` of pipes and valves; of regulators; `fixed` nodes hold their u."""

    nodes: int
    start: Ints
    end: Ints
    regulator_start: Ints
    regulator_end: Ints
    fixed: Ints


# A pipe network's factors are almost as sparse as a tree: blocks of columns, SuperLU's habit, cost three times as much.
_SPARSE: Final[dict[str, Any]] = {"relax": 1, "panel_size": 1, "options": {"SymmetricMode": True}}


class StepSystem:
    """Solves one Newton step on a fixed graph; only the numbers change between steps."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        held = np.zeros(graph.nodes, np.bool_)
        held[graph.fixed] = True
        self._leaf_edge, self._leaf, self._stem = _leaves(graph, held)
        core = ~held
        core[self._leaf] = False
        self._core = np.flatnonzero(core)
        keep = np.ones(len(graph.start), np.bool_)
        keep[self._leaf_edge] = False
        self._kept = np.flatnonzero(keep)
        self._kept_ends = np.concatenate([graph.start[self._kept], graph.end[self._kept]])
        self._number_core(self._core)
        self._order()

    def _number_core(self, order: Ints) -> None:
        """Number the core nodes in `order` and find where each slope lands in the matrix."""
        graph, m = self._graph, len(order)
        self._core = order
        at = np.full(graph.nodes, -1, np.intp)
        at[order] = np.arange(m)
        start, end = at[graph.start[self._kept]], at[graph.end[self._kept]]
        inner = (start >= 0) & (end >= 0)
        self._inner = self._kept[inner]
        r_start, r_end = at[graph.regulator_start], at[graph.regulator_end]
        self._regulated = np.flatnonzero((r_start >= 0) & (r_end >= 0))
        r_start, r_end = r_start[self._regulated], r_end[self._regulated]
        diagonal = np.arange(m)
        rows = np.concatenate([diagonal, start[inner], end[inner], r_start, r_end])
        columns = np.concatenate([diagonal, end[inner], start[inner], r_end, r_start])
        pattern = coo_matrix((np.ones(len(rows)), (rows, columns)), (m, m)).tocsc()
        pattern.sort_indices()
        keys = np.repeat(np.arange(m), np.diff(pattern.indptr)) * m + pattern.indices
        self._slot = np.searchsorted(keys, columns * m + rows)
        self._matrix = csc_matrix((np.ones(pattern.nnz), pattern.indices, pattern.indptr), (m, m))
        self._at = at

    def _order(self) -> None:
        """Renumber the core so that factorising makes little fill, once."""
        if len(self._core) < 2:
            return
        m = len(self._core)
        laplacian = abs(self._matrix)
        laplacian.data[:] = -1.0
        dominant = (laplacian + csc_matrix((np.full(m, 1e3), (np.arange(m), np.arange(m))), (m, m))).tocsc()
        column_order = splu(dominant, permc_spec="MMD_AT_PLUS_A").perm_c
        self._number_core(self._core[np.argsort(column_order)])

    def solve(self, slope: Floats, by_inlet: Floats, by_outlet: Floats, diagonal: Floats, right: Floats) -> Floats:
        """The step of every node; 0 where u is fixed.

        `slope` of each pipe's flow by its drop, `by_inlet` and `by_outlet` of each regulator's flow; `diagonal`:
        what else of each node's outflow grows with u; `right`: what flows in too much at each node.
        """
        graph = self._graph
        kept = slope[self._kept]
        whole: Floats = (
            np.bincount(self._kept_ends, np.concatenate([kept, kept]), graph.nodes)
            + np.bincount(graph.regulator_start, by_inlet, graph.nodes)
            - np.bincount(graph.regulator_end, by_outlet, graph.nodes)
            + diagonal
        )
        leaf_slope = slope[self._leaf_edge]
        leaf_diagonal, leaf_right = diagonal[self._leaf], right[self._leaf]
        leaf_sum = leaf_slope + leaf_diagonal
        share = leaf_slope / leaf_sum
        whole += np.bincount(self._stem, share * leaf_diagonal, graph.nodes)
        load = right + np.bincount(self._stem, share * leaf_right, graph.nodes)
        inner, regulated = -slope[self._inner], self._regulated
        entries = np.concatenate([whole[self._core], inner, inner, by_outlet[regulated], -by_inlet[regulated]])
        self._matrix.data = np.bincount(self._slot, entries, self._matrix.nnz).astype(np.float64, copy=False)
        factors = splu(self._matrix, permc_spec="NATURAL", diag_pivot_thresh=0.0, **_SPARSE)
        step = np.zeros(graph.nodes)
        step[self._core] = factors.solve(load[self._core])
        step[self._leaf] = (leaf_right + leaf_slope * step[self._stem]) / leaf_sum
        return step


def _leaves(graph: Graph, held: NDArray[np.bool_]) -> tuple[Ints, Ints, Ints]:
    """Edges that hang a single free node on the rest: edge, that node, and the node it hangs on."""
    degree = np.bincount(np.concatenate([graph.start, graph.end]), minlength=graph.nodes)
    regulated = np.zeros(graph.nodes, np.bool_)
    regulated[graph.regulator_start] = regulated[graph.regulator_end] = True
    may = (degree == 1) & ~held & ~regulated
    at_end, at_start = may[graph.end], may[graph.start]
    edge = np.flatnonzero(at_end != at_start)
    leaf = np.where(at_end[edge], graph.end[edge], graph.start[edge])
    stem = np.where(at_end[edge], graph.start[edge], graph.end[edge])
    return edge, leaf, stem


def full_matrix(
    graph: Graph, slope: Floats, by_inlet: Floats, by_outlet: Floats, diagonal: Floats
) -> tuple[csc_matrix, Ints]:
    """The matrix of a step over all free nodes, and which node each row is; for sensitivities."""
    n = graph.nodes
    rows = [graph.start, graph.end, graph.start, graph.end]
    columns = [graph.start, graph.end, graph.end, graph.start]
    values = [slope, slope, -slope, -slope]
    rows += [graph.regulator_start, graph.regulator_end, graph.regulator_start, graph.regulator_end, np.arange(n)]
    columns += [graph.regulator_start, graph.regulator_end, graph.regulator_end, graph.regulator_start, np.arange(n)]
    values += [by_inlet, -by_outlet, by_outlet, -by_inlet, diagonal]
    place = (np.concatenate(rows), np.concatenate(columns))
    whole = coo_matrix((np.concatenate(values), place), (n, n)).tocsr()
    free = np.setdiff1d(np.arange(n), graph.fixed)
    return whole[free][:, free].tocsc(), free
