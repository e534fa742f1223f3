"""A function of fixed shapes, recorded as a CUDA graph: replaying it costs one launch, not hundreds.

With batches of 8 a GPU waits for Python to send the next kernel; a recorded step is sent at once.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

WARM_UP = 3  # calls before the recording: libraries choose their kernels, buffers find their place


class Recorded:
    """Calls a function as it is a few times, then records it, and from then on replays the recording.

    Every call does the work once, the one that records included, so nothing is to be undone.

    Args:
        function: of CUDA tensors that keep their shapes, to one CUDA tensor; it must not wait for the
            device, and whatever else it reads or writes must stay where it is in memory.
        device: where it runs.
        generators: those that it draws from, besides the device's global one.

    The result is overwritten by the next call.

    Raises:
        RuntimeError: the function cannot be recorded (called with the environment variable
            ``INNT_CUDA_GRAPH=0``, it is not).
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        device: torch.device,
        generators: Iterable[torch.Generator] = (),
    ) -> None:
        self.function = function
        self.device = device
        self.generators = tuple(generators)
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        # Warmed up and recorded on one stream that is not the default one, which cannot be recorded.
        self.stream = torch.cuda.Stream(device)

    def __call__(self, *inputs: Tensor) -> Tensor:
        if self.graph is None:
            self.calls += 1
            if self.calls <= WARM_UP:
                return self._warm_up(inputs)
            self.graph = self._record(inputs)
        for place, value in zip(self.inputs, inputs, strict=True):
            place.copy_(value)
        self.graph.replay()
        return self.output

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> Tensor:
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with torch.cuda.stream(self.stream), warnings.catch_warnings():
            # Adam's, that it could be recorded and is not: it will be.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            output = self.function(*inputs)
        current.wait_stream(self.stream)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self.generators:
            graph.register_generator_state(generator)
        self.inputs = [tensor.clone() for tensor in inputs]
        gc.collect()  # an older graph must not be freed while this one is recorded
        gc.disable()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.output = self.function(*self.inputs)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # What ended the recording comes first; that it ended badly is said after it.
            why = str(error.__context__ or error).splitlines()[0]
            raise RuntimeError(
                f"the training step could not be recorded as a CUDA graph ({why}); with the "
                "environment variable INNT_CUDA_GRAPH=0 it is not"
            ) from error
        finally:
            gc.enable()
        return graph


def wanted() -> bool:
    """Whether steps on a GPU are to be recorded: unless ``INNT_CUDA_GRAPH`` is 0."""
    return os.environ.get("INNT_CUDA_GRAPH", "1") != "0"
