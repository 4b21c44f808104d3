"""Purchases of a latent-factor model: who buys what, with the best list for each user known.

A user buys a product with probability softmax over products of `taste . nature + appeal`: taste and
nature are vectors that no column holds, appeal makes some products bought more than others. Rows are
independent, so no list is better than products by that probability, whatever a model knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

__all__ = ["Purchases", "generate", "purchases"]

_USERS, _PRODUCTS, _FACTORS = 300, 200, 8
_COUNTRIES, _CATEGORIES = 12, 10
# How much tastes tell, and how uneven appeal is.
_SHARPNESS, _APPEAL = 2.5, 0.8
Rng = np.random.Generator


@dataclass(frozen=True)
class Purchases:
    """Generated rows and what they were drawn from.

    Attributes:
      columns: user_id, country, product_id and category, a value a row.
      users: [rows] int.
      products: [rows] int.
      probability: [users, products] float64, rows that sum to 1.
    """

    columns: dict[str, list[str]]
    users: np.ndarray
    products: np.ndarray
    probability: np.ndarray

    @property
    def table(self) -> pa.Table:
        """The rows."""
        return pa.table(self.columns)

    def best_ndcg(self, rows: np.ndarray, cutoff: int = 10) -> float:
        """Returns the NDCG of the best list for each user, over the rows at the places `rows`."""
        return self.ndcg(self.probability, rows, cutoff)

    def ndcg(self, scores: np.ndarray, rows: np.ndarray, cutoff: int = 10) -> float:
        """Returns the NDCG of lists by scores, over the rows at the places `rows`.

        What a user bought in those rows is to be found, each product once, among all products.

        Args:
          scores: [users, products], the first to be listed has the greatest.
          rows: Places of rows.
          cutoff: Products in a list.
        """
        discount = 1 / np.log2(np.arange(2, cutoff + 2))
        gains = []
        for user in np.unique(self.users[rows]):
            bought = np.unique(self.products[rows][self.users[rows] == user])
            best = np.argsort(-scores[user], kind="stable")[:cutoff]
            gains.append((np.isin(best, bought) * discount).sum() / discount[: len(bought)].sum())
        return float(np.mean(gains))


def generate(rows: int, seed: int = 1) -> Purchases:
    """Returns `rows` purchases; the same arguments give the same rows."""
    return purchases(np.random.default_rng(seed), rows)


def purchases(rng: Rng, rows: int) -> Purchases:
    """Returns `rows` purchases of 300 users among 200 products."""
    country = rng.integers(_COUNTRIES, size=_USERS)
    category = rng.integers(_CATEGORIES, size=_PRODUCTS)
    # A country's and a category's mean tell a third of what a user and a product are.
    taste = _directions(rng, country, _COUNTRIES)
    nature = _directions(rng, category, _CATEGORIES)
    logits = _SHARPNESS * taste @ nature.T + _APPEAL * rng.normal(size=_PRODUCTS)
    probability = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability /= probability.sum(axis=1, keepdims=True)
    users = rng.integers(_USERS, size=rows)
    below = np.cumsum(probability, axis=1)[users]
    products = np.minimum((below < rng.random((rows, 1))).sum(axis=1), _PRODUCTS - 1)
    columns = {
        "user_id": [f"u{user}" for user in users],
        "country": [f"k{country[user]}" for user in users],
        "product_id": [f"p{product}" for product in products],
        "category": [f"c{category[product]}" for product in products],
    }
    return Purchases(columns, users, products, probability)


def _directions(rng: Rng, group: np.ndarray, groups: int) -> np.ndarray:
    """Returns [len(group), factors], of expected squared length 2, partly that of the group."""
    shared = rng.normal(size=(groups, _FACTORS))[group]
    own = rng.normal(size=(len(group), _FACTORS))
    return (np.sqrt(1 / 3) * shared + np.sqrt(2 / 3) * own) * np.sqrt(2 / _FACTORS)
