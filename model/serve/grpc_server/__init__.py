"""The gRPC server: HTTP/2 by h2, in the event loop of everything else that is served."""
