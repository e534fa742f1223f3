import contextlib

import pytest
import torch

from innt_lib.learn import capture


class Stream:
    def __init__(self, device=None):
        self.waited = 0

    def wait_stream(self, other):
        self.waited += 1


class Work:
    """A step: adds its input to a total, and returns twice the input."""

    def __init__(self):
        self.total, self.runs = torch.zeros(()), 0

    def __call__(self, x):
        self.runs += 1
        self.total += x.sum()
        return 2 * x


@pytest.fixture
def work(monkeypatch):
    """A step, and CUDA graphs in miniature: recording does no work, replaying does it all."""
    work = Work()

    class Graph:
        def replay(self):
            self.recorded.output.copy_(work(*self.recorded.inputs))

    @contextlib.contextmanager
    def graph(graph, stream):
        before = work.total.clone()
        try:
            yield
        except RuntimeError:
            raise RuntimeError("the capture was invalidated")  # noqa: B904 (as PyTorch does)
        work.total.copy_(before)

    monkeypatch.setattr(capture.torch.cuda, "Stream", Stream)
    monkeypatch.setattr(capture.torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(capture.torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(capture.torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(capture.torch.cuda, "graph", graph)
    work.recorded = Graph.recorded = capture.Recorded(work, torch.device("cpu"))
    return work


def test_every_call_does_the_work_once(work):
    given = [torch.full((3,), float(i)) for i in range(8)]
    for x in given:
        assert torch.equal(work.recorded(x), 2 * x)
    assert work.total == sum(float(x.sum()) for x in given)
    assert work.runs == len(given) + 1  # the recording itself


def test_a_step_that_cannot_be_recorded_says_how_to_go_on(work, monkeypatch):
    def refuse(x):
        if work.runs == capture.WARM_UP:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        return work(x)

    monkeypatch.setattr(work.recorded, "function", refuse)
    for _ in range(capture.WARM_UP):
        work.recorded(torch.ones(3))
    with pytest.raises(RuntimeError, match=r"not permitted.*capturing\).*INNT_CUDA_GRAPH=0"):
        work.recorded(torch.ones(3))


def test_it_can_be_switched_off(monkeypatch):
    assert capture.wanted()
    monkeypatch.setenv("INNT_CUDA_GRAPH", "0")
    assert not capture.wanted()
