"""The Open Inference Protocol, version 2: what KServe, Triton and their clients speak, by REST and gRPC.

    rest | service -> requests -> inference (as every other protocol)
    messages, tensors: the protocol's own

A model's inputs are its raw columns, those of the signature `predict_columns`; any may be absent.
"""
