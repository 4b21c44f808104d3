"""TensorFlow Serving's own interfaces: REST, PredictionService, ModelService."""
