"""What bad input gets, over real gRPC from the real stack: a clear refusal, and nothing stored."""
