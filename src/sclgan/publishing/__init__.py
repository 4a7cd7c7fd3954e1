"""A trained run on its way to others: ONNX files, and folders for model hubs."""
