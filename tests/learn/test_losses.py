import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from innt_lib.learn.losses import activation_distance
from innt_lib.learn.methods import METHODS, Objective


def maps(n=4, seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, 5, 3, 3, generator=g, dtype=dtype)


def naive_distance(clean, noisy, tau, norm):
    """Eq. 5 in plain Python."""
    if norm == "unit":
        clean, noisy = ([x / math.sqrt(float((x**2).sum())) for x in m] for m in (clean, noisy))
    squares = [
        sum(float(x) ** 2 for x in (c - n).flatten()) for c, n in zip(clean, noisy, strict=True)
    ]
    if norm == "sample":
        return sum(math.log(tau * math.sqrt(s) + 1) for s in squares) / len(squares)
    whole = math.sqrt(sum(squares))
    return math.log(tau * (whole if norm == "batch" else whole / math.sqrt(len(squares))) + 1)


@pytest.mark.parametrize("norm", ["batch", "sample", "batch_rms", "unit"])
@pytest.mark.parametrize("tau", [2e-3, 0.5])
def test_activation_distance_against_plain_python(norm, tau):
    clean, noisy = maps()
    found = activation_distance(clean, noisy, tau, norm)
    assert float(found) == pytest.approx(naive_distance(clean, noisy, tau, norm), rel=1e-12)


def test_activation_distance_by_hand():
    clean = torch.zeros(2, 1, 1, 2)
    noisy = torch.tensor([[[[3.0, 0.0]]], [[[0.0, 4.0]]]])  # norms 3 and 4, together 5
    assert float(activation_distance(clean, noisy, 1.0)) == pytest.approx(math.log(6))
    assert float(activation_distance(clean, noisy, 1.0, "sample")) == pytest.approx(
        (math.log(4) + math.log(5)) / 2
    )
    assert float(activation_distance(clean, noisy, 1.0, "batch_rms")) == pytest.approx(
        math.log(5 / math.sqrt(2) + 1)
    )


@pytest.mark.parametrize("norm", ["batch", "sample", "batch_rms", "unit"])
def test_gradient_is_right_and_0_for_equal_maps(norm):
    clean, noisy = maps(2)
    clean.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: activation_distance(a, noisy, 0.1, norm), clean)
    same = noisy.clone().requires_grad_()
    activation_distance(same, noisy, 0.1, norm).backward()
    assert torch.equal(same.grad, torch.zeros_like(same))


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_unit_norm_knows_no_scale(one, other):
    clean, noisy = maps()
    found = activation_distance(one * clean, other * noisy, 1.0, "unit")
    assert float(found) == pytest.approx(float(activation_distance(clean, noisy, 1.0, "unit")))
    silent = torch.zeros_like(clean)
    assert float(activation_distance(silent, silent, 1.0, "unit")) == 0


@given(st.floats(1e-4, 10), st.floats(1e-3, 100))
def test_distance_is_symmetric_nonnegative_and_grows(tau, factor):
    clean, noisy = maps(2)
    here = float(activation_distance(clean, noisy, tau))
    assert here >= 0
    assert here == float(activation_distance(noisy, clean, tau))
    farther = float(activation_distance(clean, clean + (1 + factor) * (noisy - clean), tau))
    assert farther > here


def test_low_precision_maps_are_summed_in_float32():
    clean = torch.zeros(1, 1, 64, 64, dtype=torch.bfloat16)
    found = activation_distance(clean, clean + 1, 1.0)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(math.log(65), rel=1e-6)


def outputs(seed=0):
    g = torch.Generator().manual_seed(seed)
    clean, noisy = torch.randn(2, 4, 3, generator=g, dtype=torch.float64)
    return torch.tensor([0, 2, 1, 1]), clean, noisy


def naive_cross_entropy(logits, labels):
    return sum(
        math.log(sum(math.exp(float(v)) for v in row)) - float(row[label])
        for row, label in zip(logits, labels, strict=True)
    ) / len(labels)


def test_objectives_are_equations_12_to_14():
    labels, c_logits, n_logits = outputs()
    c_maps, n_maps = maps()
    clean, noise = naive_cross_entropy(c_logits, labels), naive_cross_entropy(n_logits, labels)
    reg = naive_distance(c_maps, n_maps, 0.1, "batch")
    expected = {
        "baseline": clean,
        "nt": clean + noise,
        "nt_weighted": 0.7 * clean + 0.3 * noise,
        "innt_origin": clean + noise + reg,
        "innt": 0.7 * clean + 0.3 * noise + reg,
        "consistency": clean,  # with weights of 1, which is what it is given here
    }
    assert expected.keys() == METHODS.keys() - {"vat", "lvat"}  # which have tests of their own
    for method, value in expected.items():
        loss = Objective(method, 0.7, 0.1)(labels, c_logits, c_maps, n_logits, n_maps)
        assert float(loss.total) == pytest.approx(value, rel=1e-12), method
        assert float(loss.reg) == pytest.approx(reg if METHODS[method].neighbor == "noise" else 0)


def test_reg_is_measured_but_not_trained_on_by_nt():
    labels, c_logits, n_logits = outputs()
    c_maps, n_maps = maps()
    c_maps.requires_grad_()
    loss = Objective("nt")(labels, c_logits.requires_grad_(), c_maps, n_logits, n_maps)
    loss.total.backward()
    assert c_maps.grad is None
    assert float(loss.reg) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "focal"}, r"'focal'.*baseline, nt, nt_weighted, innt_origin, innt"),
        ({"lambda_": 0.0}, r"lambda .=0.0."),
        ({"lambda_": 1.0}, r"lambda .=1.0."),
        ({"lambda_": math.nan}, r"lambda .=nan."),
        ({"tau": 0.0}, r"tau .=0.0."),
        ({"tau": -1.0}, r"tau .=-1.0."),
        ({"tau": math.nan}, r"tau .=nan."),
        ({"tau": "auto"}, r"tau .=.auto.."),
        ({"norm": "max"}, r"'max'.*batch, sample, batch_rms, unit"),
    ],
)
def test_bad_values_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Objective(**options)


def test_missing_noisy_outputs_and_odd_shapes_are_refused():
    labels, c_logits, _ = outputs()
    with pytest.raises(ValueError, match="'innt' needs"):
        Objective("innt")(labels, c_logits, maps()[0])
    with pytest.raises(ValueError, match="a column a class"):
        Objective("baseline")(labels, c_logits[:, :1], maps()[0])
    with pytest.raises(ValueError, match="one shape"):
        activation_distance(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
