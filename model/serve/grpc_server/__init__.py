"""The gRPC server: HTTP/2 in the event loop of everything else that is served."""
