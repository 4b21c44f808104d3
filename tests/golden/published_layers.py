"""Figures of the layers that their authors publish, for layers of ours that follow the same papers.

    pip install torch==2.9.1 rtdl-num-embeddings==0.0.12 tabm==0.0.3
    python tests/golden/published_layers.py

writes `published_layers.json` beside this file: weights, inputs and outputs of `rtdl_num_embeddings` (Gorishniy
et al. 2022) and `tabm` (Gorishniy et al. 2025), and of the latter the gradients of its loss. These packages need torch, of
some gigabytes: so they run here by hand, and tests read what they gave.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rtdl_num_embeddings as numbers
import tabm
import torch

OUTPUT = Path(__file__).with_suffix(".json")
ROWS, COLUMNS, WIDTH, FREQUENCIES, MEMBERS = 7, 3, 5, 4, 4


def periodic() -> dict[str, Any]:
    """Returns the periodic embedding with the activation and a linear layer of each column."""
    layer = numbers.PeriodicEmbeddings(
        COLUMNS, WIDTH, n_frequencies=FREQUENCIES, frequency_init_scale=0.7, lite=False
    )
    inputs = torch.randn(ROWS, COLUMNS)
    return told(layer, inputs, layer(inputs))


def piecewise_linear() -> dict[str, Any]:
    """Returns version B, of other bins in each column, for numbers within the bins and at their edges."""
    bins = [
        torch.tensor([-2.0, -0.5, 0.25, 3.0]),
        torch.tensor([0.0, 1.0]),
        torch.tensor([-1.0, 0.0, 0.125, 0.5, 2.0]),
    ]
    layer = numbers.PiecewiseLinearEmbeddings(bins, WIDTH, activation=False, version="B")
    torch.nn.init.normal_(layer.linear.weight)  # It begins at zero, which would hide the bins.
    shares = torch.cat(
        [torch.rand(ROWS - 2, COLUMNS), torch.zeros(1, COLUMNS), torch.ones(1, COLUMNS)]
    )
    low = torch.stack([edges[0] for edges in bins])
    high = torch.stack([edges[-1] for edges in bins])
    inputs = low + shares * (high - low)
    return {"bins": [edges.tolist() for edges in bins], **told(layer, inputs, layer(inputs))}


def ensemble() -> dict[str, Any]:
    """Returns TabM of two blocks: what members predict, and gradients of the mean of their losses."""
    model = tabm.TabM.make(
        n_num_features=COLUMNS, d_out=2, n_blocks=2, d_block=6, k=MEMBERS, dropout=0.0
    )
    with torch.no_grad():
        for parameter in model.parameters():  # Scales begin at one, and biases alike for members.
            parameter.add_(0.3 * torch.randn_like(parameter))
    inputs, truth = torch.randn(ROWS, COLUMNS), torch.randn(ROWS, 2)
    outputs = model(inputs)
    loss = torch.nn.functional.mse_loss(outputs, truth[:, None].expand_as(outputs))
    loss.backward()
    gradients = {name: part.grad.tolist() for name, part in model.named_parameters()}
    figures = told(model, inputs, outputs)
    return {"truth": truth.tolist(), "loss": loss.item(), "gradients": gradients, **figures}


def told(layer: torch.nn.Module, inputs: torch.Tensor, outputs: torch.Tensor) -> dict[str, Any]:
    """Returns a layer's weights by name, what it was given, and what it gave."""
    weights = {name: part.tolist() for name, part in layer.named_parameters()}
    return {"weights": weights, "inputs": inputs.tolist(), "outputs": outputs.tolist()}


if __name__ == "__main__":
    torch.manual_seed(1)
    found = {kind.__name__: kind() for kind in (periodic, piecewise_linear, ensemble)}
    OUTPUT.write_text(json.dumps(found) + "\n")
