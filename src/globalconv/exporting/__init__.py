"""A trained network as a file for other runtimes: ONNX, OpenVINO, torch.export; quantisation; proof that it agrees."""
