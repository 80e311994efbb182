"""HTTP/2 as a load generator needs it: one client side, written for few instructions per call."""
