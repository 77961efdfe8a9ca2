"""Wires of a crossbar: against nodal analysis of the whole network, here and elsewhere, and their own proven bounds."""

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve

from snnsim.backends.crossbar import Wires
from snnsim.backends.crossbar.wires.currents import (
    apply_transfer,
    cell_voltages,
    exact_currents,
    fast_currents,
    solve_wires,
    transfer_matrix,
)
from snnsim.backends.crossbar.wires.elimination import inverse
from snnsim.errors import ParameterError


def nodal(conductance, active, voltage, wires):
    """Kirchhoff's law at every node: row nodes first, then column nodes; return currents and voltages across cells."""
    rows, columns = conductance.shape
    row_node = np.arange(rows * columns).reshape(rows, columns)
    column_node = row_node + rows * columns
    connected = np.arange(rows) if wires.unselected == "grounded" else np.asarray(active)
    pairs = [
        (row_node[connected], column_node[connected], conductance[connected] * 1e-6),
        (row_node[:, :-1], row_node[:, 1:], np.full((rows, columns - 1), 1 / wires.row)),
        (column_node[:-1], column_node[1:], np.full((rows - 1, columns), 1 / wires.column)),
    ]
    one, other, between = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in range(3))
    diagonal, sources = np.zeros(2 * rows * columns), np.zeros(2 * rows * columns)
    np.add.at(diagonal, one, between)
    np.add.at(diagonal, other, between)
    diagonal[row_node[:, 0]] += 1 / (wires.row + wires.driver)
    sources[row_node[active, 0]] = voltage / (wires.row + wires.driver)
    diagonal[column_node[-1]] += 1 / (wires.column + wires.sink)
    every = np.arange(diagonal.size)
    matrix = coo_matrix(
        (
            np.concatenate((diagonal, -between, -between)),
            (np.concatenate((every, one, other)), np.concatenate((every, other, one))),
        )
    )
    potential = spsolve(matrix.tocsc(), sources)
    across = np.zeros((rows, columns))
    across[connected] = potential[row_node[connected]] - potential[column_node[connected]]
    return potential[column_node[-1]] / (wires.column + wires.sink) * 1e6, across


def one_vector(conductance, active, voltage, wires, solve=exact_currents, **more):
    return solve(conductance, [0, len(active)], active, voltage, wires, **more)[0]


def relative(found, right):
    return np.max(np.abs(found - right) / np.abs(right))


def some_cells(rows, columns, seed, low=5.0, high=25.0):
    return np.random.default_rng(seed).uniform(low, high, (rows, columns))


def some_rows(rows, count, seed):
    return np.random.default_rng(seed + 1000).choice(rows, count, replace=False)


SETTINGS = [
    Wires(0.35, 0.35),
    Wires(1.0, 2.93, driver=30.0),
    Wires(2.93, 1.0, driver=100.0, sink=50.0),
    Wires(100.0, 400.0),
]


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
@pytest.mark.parametrize("wires", SETTINGS, ids=lambda wires: f"{wires.row:g}-{wires.column:g}")
@pytest.mark.parametrize("shape", [(8, 8), (16, 21), (33, 12), (64, 64)], ids=lambda shape: f"{shape[0]}x{shape[1]}")
def test_agrees_with_nodal_analysis(shape, wires, unselected):
    wires = Wires(wires.row, wires.column, wires.driver, wires.sink, unselected)
    conductance = some_cells(*shape, seed=1)
    conductance[np.random.default_rng(2).random(shape) < 0.1] = 0.0
    for count in (1, shape[0] // 3, shape[0]):
        active = some_rows(shape[0], count, seed=3)
        right, across = nodal(conductance, active, 0.2, wires)
        exact, fast = (one_vector(conductance, active, 0.2, wires, solve) for solve in (exact_currents, fast_currents))
        flows = right > 1e-9 * right.max()
        assert relative(exact[flows], right[flows]) < 1e-9
        assert relative(fast[flows], right[flows]) < 1e-4
        np.testing.assert_allclose(exact[~flows], right[~flows], rtol=0, atol=1e-9 * right.max())
        np.testing.assert_allclose(cell_voltages(conductance, active, 0.2, wires), across, rtol=0, atol=1e-11)


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_agrees_with_nodal_analysis_at_128(unselected):
    wires = Wires(1.0, 1.0, unselected=unselected)
    conductance, active = some_cells(128, 128, seed=4), some_rows(128, 20, seed=5)
    right, _ = nodal(conductance, active, 0.2, wires)
    assert relative(one_vector(conductance, active, 0.2, wires), right) < 1e-9
    assert relative(one_vector(conductance, active, 0.2, wires, fast_currents), right) < 1e-4


@pytest.mark.parametrize("wires", SETTINGS, ids=lambda wires: f"{wires.row:g}-{wires.column:g}")
def test_transfer_matrix_agrees_with_nodal_analysis(wires):
    wires = Wires(wires.row, wires.column, wires.driver, wires.sink, "grounded")
    conductance = some_cells(40, 24, seed=6)
    conductance[:, 5] = 0.0
    transfer = transfer_matrix(conductance, wires)
    assert np.all(transfer[:, 5] == 0.0)
    seen = np.arange(24) != 5
    for count in (1, 7, 40):
        active = some_rows(40, count, seed=7)
        right, _ = nodal(conductance, active, 0.2, wires)
        found = one_vector(conductance, active, 0.2, wires, fast_currents, transfer=transfer)
        assert relative(found[seen], right[seen]) < 1e-9
        np.testing.assert_array_equal(found, apply_transfer(transfer, [0, count], active, 0.2)[0])
    # The array is linear: any voltages at the rows, not only one.
    voltages = np.random.default_rng(8).uniform(0.0, 0.2, 40)
    by_row = np.array([nodal(conductance, [row], 1.0, wires)[0] for row in range(40)])
    np.testing.assert_allclose(voltages @ transfer, voltages @ by_row, rtol=1e-9, atol=1e-12)


MIXED = np.array([[5, 10, 15, 20], [25, 20, 15, 10], [5, 25, 5, 25], [12, 8, 16, 4]], float)
GOLDEN = {
    "all 100 uS": (
        np.full((4, 4), 100.0),
        [0, 1, 2, 3],
        Wires(10.0, 10.0),
        [79.09194913, 78.85752265, 78.70136749, 78.62332863],
    ),
    "mixed, all rows": (
        MIXED,
        [0, 1, 2, 3],
        Wires(100.0, 100.0),
        [9.25982521, 12.31368594, 9.9824356, 11.47065477],
    ),
    "mixed, two rows grounded": (
        MIXED,
        [0, 3],
        Wires(100.0, 100.0, unselected="grounded"),
        [3.36309063, 3.53022519, 6.07976875, 4.66605121],
    ),
    "mixed, two rows cut off": (
        MIXED,
        [0, 3],
        Wires(100.0, 100.0),
        [3.37835191, 3.55827567, 6.10176856, 4.69921294],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_values_of_a_4_by_4(name):
    conductance, active, wires, right = GOLDEN[name]
    np.testing.assert_allclose(one_vector(conductance, active, 0.2, wires), right, rtol=0, atol=6e-9)
    np.testing.assert_allclose(one_vector(conductance, active, 0.2, wires, fast_currents), right, rtol=1e-4)


def test_one_cell_is_three_resistors_in_a_row():
    right = 0.2 / (1e4 + 10.0 + 20.0) * 1e6
    for unselected in ("gated", "grounded"):
        wires = Wires(10.0, 20.0, unselected=unselected)
        assert one_vector([[100.0]], [0], 0.2, wires) == pytest.approx(right, rel=1e-14)
    terminals = Wires(10.0, 20.0, driver=300.0, sink=400.0)
    assert one_vector([[100.0]], [0], 0.2, terminals) == pytest.approx(0.2 / (1e4 + 730.0) * 1e6, rel=1e-14)


LOSSES = {
    (32, 0.35): 2.4, (32, 1.0): 6.6, (32, 2.93): 17.1,
    (64, 0.35): 8.8, (64, 1.0): 21.5, (64, 2.93): 43.7,
    (128, 0.35): 27.3, (128, 1.0): 50.8, (128, 2.93): 73.9,
}  # fmt: skip


@pytest.mark.parametrize(("size", "ohm"), LOSSES)
def test_loss_of_arrays_of_10_kilohm(size, ohm):
    found = one_vector(np.full((size, size), 100.0), np.arange(size), 0.2, Wires(ohm, ohm))
    loss = 100 * (1 - found.mean() / (size * 100.0 * 0.2))
    assert loss == pytest.approx(LOSSES[size, ohm], abs=0.05001)  # the table's own digits


def closed_form(conductance, active, ohm):
    """Column currents (uA a volt) by the closed form of aihwkit, a polynomial that is good for small drops."""
    rows = len(conductance)
    # Its distance counts from the sink, at the last row.
    distance = (rows - 1 - np.asarray(active)) / rows
    currents = conductance[active].sum(axis=0)
    a = rows * ohm * 1e-6 * currents  # n g_max / g_wire times the weights of the active rows
    assert a.max() <= 2.0, "the polynomial is no fit there"
    return currents - a * (a * (0.05 * a - 0.2) + 0.5) * ((1 - (1 - distance) ** 2) @ conductance[active])


#: Loss in % of a square array with wires of 0.35 ohm, 5-25 uS, 30 % of the rows active: column wires only, both wires
#: with the other rows cut off, and grounded; last, what the closed form says.
CASES = {64: (0.201, 0.93, 1.45, 0.177), 128: (0.863, 3.6, 5.5, 0.796), 256: (3.42, 12.9, 18.4, 3.41)}


@pytest.mark.parametrize("size", CASES)
def test_random_cells_lose_four_to_seven_times_what_the_closed_form_says(size):
    losses = np.zeros(4)
    vectors = 6
    for seed in range(vectors):
        conductance = some_cells(size, size, seed)
        active = some_rows(size, round(0.3 * size), seed)
        ideal = 0.2 * conductance[active].sum()
        wires = [Wires(0.0, 0.35), Wires(0.35, 0.35), Wires(0.35, 0.35, unselected="grounded")]
        currents = [one_vector(conductance, active, 0.2, setting, fast_currents) for setting in wires]
        currents.append(0.2 * closed_form(conductance, active, 0.35))
        losses += [100 * (1 - found.sum() / ideal) / vectors for found in currents]
    # Those figures are of one draw of cells and rows each; where the rows lie moves the closed form most.
    np.testing.assert_allclose(losses[:3], CASES[size][:3], rtol=0.1)
    assert losses[3] == pytest.approx(CASES[size][3], rel=0.2)
    assert losses[3] == pytest.approx(losses[0], rel=0.1), "it is a model of the column wires alone"
    assert 3.5 < losses[1] / losses[3] < 6.0
    assert 5.0 < losses[2] / losses[3] < 9.0


@pytest.mark.parametrize("ohm", [0.35, 1.0, 5.0])
@pytest.mark.parametrize("share", [0.02, 0.1])
def test_fast_is_within_its_error_at_512(share, ohm):
    conductance = some_cells(512, 512, seed=11)
    count = round(share * 512)
    active = np.concatenate([some_rows(512, count, seed) for seed in range(4)])
    offsets = np.arange(5) * count
    exact = exact_currents(conductance, offsets, active, 0.2, Wires(ohm, ohm))
    for tolerance in (1e-2, 1e-4, 1e-7):
        fast = solve_wires(conductance, offsets, active, 0.2, Wires(ohm, ohm), tolerance=tolerance)
        assert np.all(fast.bounds <= tolerance)
        assert np.all(fast.steps >= 0)
        assert np.all(np.max(np.abs(fast.currents / exact - 1), axis=1) <= fast.bounds)
    default = fast_currents(conductance, offsets, active, 0.2, Wires(ohm, ohm))
    assert relative(default, exact) < 1e-5, "found a hundred times below what is proven"


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_bounds_hold_whatever_the_wires(unselected):
    for ohm in np.logspace(-2, 7, 10):
        wires = Wires(ohm, 3 * ohm, driver=ohm / 2, unselected=unselected)
        conductance = some_cells(24, 24, seed=12, low=0.0, high=100.0)
        active = some_rows(24, 5, seed=13)
        right, _ = nodal(conductance, active, 0.2, wires)
        for tolerance in (1e-1, 1e-3, 1e-6):
            found = solve_wires(conductance, [0, 5], active, 0.2, wires, tolerance=tolerance)
            assert found.bounds[0] <= tolerance
            assert relative(found.currents[0], right) <= found.bounds[0] + 1e-9  # nodal analysis rounds too


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_what_is_not_proven_in_time_is_eliminated(unselected, monkeypatch):
    wires = Wires(300.0, 300.0, unselected=unselected)
    conductance = some_cells(20, 16, seed=14)
    active, offsets = np.array([3, 1, 17, 4, 4, 19]), np.array([0, 4, 4, 6])
    right = [nodal(conductance, active[a:b], 0.2, wires)[0] for a, b in ((0, 4), (4, 6))]
    monkeypatch.setattr("snnsim.backends.crossbar.wires.currents.MOST_STEPS", 1)
    found = solve_wires(conductance, offsets, active, 0.2, wires, tolerance=1e-9)
    np.testing.assert_array_equal(found.steps, [-1, 0, -1])
    np.testing.assert_allclose(found.currents[[0, 2]], right, rtol=1e-9)
    np.testing.assert_array_equal(found.currents[1], 0.0)
    if unselected == "gated":
        with pytest.raises(ParameterError, match="no voltages proven"):
            cell_voltages(conductance, active[:4], 0.2, wires)


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_no_cells_no_rows_one_row_all_rows(unselected):
    wires = Wires(2.0, 3.0, unselected=unselected)
    conductance = some_cells(12, 9, seed=15)
    conductance[:, 4] = 0.0
    conductance[2] = 0.0
    active, offsets = np.array([7, 2, *range(12)]), np.array([0, 0, 1, 2, 14])
    for solve in (exact_currents, fast_currents):
        found = solve(conductance, offsets, active, 0.2, wires)
        np.testing.assert_array_equal(found[0], 0.0)
        np.testing.assert_array_equal(found[2], 0.0)  # the row without cells
        np.testing.assert_array_equal(found[:, 4], 0.0)
        flowing = np.arange(9) != 4
        for vector, rows in ((1, [7]), (3, np.arange(12))):
            right, _ = nodal(conductance, rows, 0.2, wires)
            assert relative(found[vector, flowing], right[flowing]) < (1e-9 if solve is exact_currents else 1e-4)
    nothing = exact_currents(np.zeros((12, 9)), offsets, active, 0.2, wires)
    np.testing.assert_array_equal(nothing, np.zeros((4, 9)))
    assert exact_currents(conductance, [0], [], 0.2, wires).shape == (0, 9)


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_wires_without_resistance_give_the_sums(unselected):
    conductance = some_cells(30, 20, seed=16)
    active = some_rows(30, 6, seed=17)
    found = one_vector(conductance, active, 0.2, Wires(0.0, 0.0, unselected=unselected))
    np.testing.assert_allclose(found, 0.2 * conductance[active].sum(axis=0), rtol=1e-14)
    rows_only = Wires(0.0, 0.0, driver=500.0, unselected="gated")
    right = 0.2 * (conductance[active] / (1 + 500e-6 * conductance[active].sum(axis=1))[:, None]).sum(axis=0)
    np.testing.assert_allclose(one_vector(conductance, active, 0.2, rows_only), right, rtol=1e-13)
    matrix = transfer_matrix(conductance, Wires(0.0, 0.0, unselected="grounded"))
    np.testing.assert_allclose(matrix, conductance, rtol=1e-14)


def test_the_same_bits_in_any_order_and_for_any_number_of_threads():
    conductance = some_cells(64, 64, seed=18)
    vectors = [some_rows(64, count, seed=19) for count in (3, 0, 9, 20, 64, 5, 1)]
    offsets = np.cumsum([0] + [len(rows) for rows in vectors])
    for unselected in ("gated", "grounded"):
        wires = Wires(1.0, 1.0, unselected=unselected)
        found = exact_currents(conductance, offsets, np.concatenate(vectors), 0.2, wires)
        for threads in (2, 3, 16):
            again = exact_currents(conductance, offsets, np.concatenate(vectors), 0.2, wires, threads=threads)
            np.testing.assert_array_equal(again, found)
        for rows, currents in zip(vectors, found, strict=True):
            np.testing.assert_array_equal(one_vector(conductance, rows[::-1], 0.2, wires), currents)


def test_single_precision_conductances_are_taken_as_they_are():
    conductance = some_cells(16, 16, seed=20).astype(np.float32)
    wires, active = Wires(5.0, 5.0), [2, 3, 11]
    np.testing.assert_array_equal(
        one_vector(conductance, active, 0.2, wires), one_vector(conductance.astype(np.float64), active, 0.2, wires)
    )


def test_inverse_by_halves_is_the_inverse():
    drawn = np.random.default_rng(21).normal(size=(301, 301))
    matrix = drawn @ drawn.T + 30 * np.eye(301)
    np.testing.assert_allclose(inverse(matrix) @ matrix, np.eye(301), rtol=0, atol=1e-11)


def cubic(conductance, voltage):
    return conductance * (voltage + 6.0 * voltage**3)


def test_one_cell_that_is_not_linear():
    wires, low, high = Wires(2e3, 3e3), 0.0, 0.2
    for _ in range(60):  # bisection: what a cell of this voltage carries, through 5 kilohm, must add up to 0.2 V
        middle = 0.5 * (low + high)
        low, high = (middle, high) if middle + 5e-3 * cubic(100.0, middle) < 0.2 else (low, middle)
    assert one_vector([[100.0]], [0], 0.2, wires, cell=cubic) == pytest.approx(cubic(100.0, low), rel=1e-10)
    assert cell_voltages([[100.0]], [0], 0.2, wires, cell=cubic) == pytest.approx(low, rel=1e-10)


@pytest.mark.parametrize("unselected", ["gated", "grounded"])
def test_cells_that_are_not_linear_obey_kirchhoff(unselected):
    wires = Wires(20.0, 30.0, driver=100.0, sink=50.0, unselected=unselected)
    conductance, active = some_cells(20, 14, seed=23), np.array([1, 4, 5, 13, 19])
    across = cell_voltages(conductance, active, 0.2, wires, cell=cubic)
    through = cubic(conductance, across)
    found = one_vector(conductance, active, 0.2, wires, cell=cubic)
    np.testing.assert_allclose(found, through.sum(axis=0), rtol=1e-10)
    # From each driver along the row, through the cell, and down the column, voltages add up to those at the ends.
    in_row = np.cumsum(through[:, ::-1], axis=1)[:, ::-1] * 1e-6
    along = 100.0 * in_row[:, :1] + 20.0 * np.cumsum(in_row, axis=1)
    in_column = np.cumsum(through, axis=0) * 1e-6
    down = 50.0 * in_column[-1] + 30.0 * np.cumsum(in_column[::-1], axis=0)[::-1]
    driven = np.zeros((20, 1))
    driven[active] = 0.2
    connected = np.arange(20) if unselected == "grounded" else active
    np.testing.assert_allclose(
        (along + across + down)[connected], np.broadcast_to(driven, (20, 14))[connected], rtol=0, atol=1e-11
    )
    linear = one_vector(conductance, active, 0.2, wires)
    same = exact_currents(conductance, [0, 5, 5], active, 0.2, wires, cell=np.multiply)
    np.testing.assert_allclose(same, [linear, np.zeros(14)], rtol=1e-12)
    with pytest.raises(ParameterError, match="still change"):
        one_vector(conductance, active, 0.2, wires, cell=lambda g, v: g * v * np.where(v > 0.1, 1e3, 1.0))


def test_refusals_name_what_is_wrong():
    conductance, wires = some_cells(4, 4, seed=22), Wires(1.0, 1.0)
    spoilt = conductance.copy()
    spoilt[2, 1] = np.nan
    for solve in (exact_currents, fast_currents):
        with pytest.raises(ParameterError, match=r"conductance\[2, 1\]=.*nan"):
            solve(spoilt, [0, 2], [0, 2], 0.2, wires)
        with pytest.raises(ParameterError, match="row 4 in vector 1"):
            solve(conductance, [0, 1, 2], [0, 4], 0.2, wires)
        with pytest.raises(ParameterError, match="row 3 is listed 2 times in vector 0"):
            solve(conductance, [0, 3], [3, 1, 3], 0.2, wires)
        with pytest.raises(ParameterError, match="offsets"):
            solve(conductance, [0, 1], [0, 1], 0.2, wires)
        with pytest.raises(ParameterError, match="offsets"):
            solve(conductance, [0, 3, 2], [0, 1], 0.2, wires)
        with pytest.raises(ParameterError, match="shape"):
            solve(conductance[0], [0, 1], [0], 0.2, wires)
    with pytest.raises(ParameterError, match="row 3 is listed"):
        exact_currents(conductance, [0, 5], [3, 0, 1, 2, 3], 0.2, wires)
    with pytest.raises(ParameterError, match="row 3 is listed"):
        exact_currents(conductance, [0, 2], [3, 3], 0.2, Wires(1.0, 1.0, unselected="grounded"))
    with pytest.raises(ParameterError, match="grounded"):
        transfer_matrix(conductance, wires)
    with pytest.raises(ParameterError, match="gated"):
        fast_currents(conductance, [0, 1], [0], 0.2, wires, transfer=conductance)
    with pytest.raises(ParameterError, match="row 9"):
        apply_transfer(conductance, [0, 1], [9], 0.2)
    with pytest.raises(ParameterError, match="tolerance"):
        fast_currents(conductance, [0, 1], [0], 0.2, wires, tolerance=0.0)
    for bad in ({"row": -1.0}, {"column": np.nan}, {"driver": np.inf}, {"unselected": "floating"}, {"solver": "spice"}):
        with pytest.raises(ParameterError, match=next(iter(bad))):
            Wires(**{"row": 1.0, "column": 1.0, **bad})
