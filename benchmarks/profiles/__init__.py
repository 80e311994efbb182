"""Where CPU time goes: samples of the servers, folded into stacks, parts and flame graphs."""
