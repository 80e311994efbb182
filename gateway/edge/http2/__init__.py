"""HTTP/2 and gRPC spoken on the event loop's own sockets: a transport made for cheap calls."""
