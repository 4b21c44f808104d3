"""The models that are served: which, in which versions, and under which labels.

model_config: what shall be served -> registry: the models by name -> versions: of one model
                                                                      servable: one, loaded
"""

from __future__ import annotations
