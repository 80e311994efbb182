"""What a peer may ask of this transport, and for how long. Beyond it a call or connection ends."""

from typing import Final

# Of a connection's life, in seconds.
HANDSHAKE_SECONDS_MAX: Final = 5.0  # Until the preface and the first SETTINGS are there.
MESSAGE_SECONDS_MAX: Final = 10.0  # A call whose message takes longer to arrive is ended.
IDLE_SECONDS_MAX: Final = 300.0
AGE_SECONDS_MAX: Final = 1_200.0  # Then it is ended in order, so that load spreads anew.
AGE_JITTER: Final = 0.1  # Connections that came together do not go together.
DRAIN_SECONDS_MAX: Final = 1_200.0  # For the calls of a connection that is ended for its age.
SILENCE_SECONDS_MAX: Final = 10.0  # Then it is asked for a sign of life,
SIGN_OF_LIFE_SECONDS_MAX: Final = 5.0  # which has to come within this.
STALL_SECONDS_MAX: Final = 30.0  # How long a peer may read nothing of what is there for it.
GOAWAY_SECONDS_MAX: Final = 2.0  # How long a peer may take to notice the first GOAWAY.
LINGER_SECONDS: Final = 0.2  # A peer that was told to go may close first: nothing is cut off.
SWEEP_SECONDS: Final = 0.25

CONNECTIONS_MAX: Final = 10_000

# Of what comes in.
STREAMS_MAX: Final = 1_000  # Calls at a time on a connection.
FRAME_BYTES_MAX: Final = 16_384
HEADER_BLOCK_BYTES_MAX: Final = 16_384  # As it is on the wire, over all its frames.
HEADER_LIST_BYTES_MAX: Final = 8 * 1024  # As it is once decoded.
CONTINUATIONS_MAX: Final = 8
# Blocks that are remembered once read; a client has one for each method it calls.
HEADS_MAX: Final = 64
HEAD_BYTES_MAX: Final = 1_024
STREAM_WINDOW_BYTES: Final = 256 * 1024
CONNECTION_WINDOW_BYTES: Final = 1024 * 1024
# Parts of messages, and messages that nobody has read yet. The window is given back as it is used,
# so that these bounds and not a deadlock meet whoever begins much and ends nothing.
CONNECTION_HELD_BYTES_MAX: Final = 32 * 1024 * 1024
ALL_HELD_BYTES_MAX: Final = 256 * 1024 * 1024

# Of what waits to go out.
CONNECTION_UNSENT_BYTES_MAX: Final = 16 * 1024 * 1024
ALL_UNSENT_BYTES_MAX: Final = 256 * 1024 * 1024
WRITE_BUFFER_BYTES: Final = 256 * 1024  # With more unsent, nothing more is read from the peer.

# Frames that cost the peer nothing: how many at once, and how many a second after that. A client
# whose 1,000 calls all run out of time at once resets them all.
RESETS_BURST: Final = 2_000
RESETS_PER_SECOND: Final = 200
CONTROLS_BURST: Final = 500  # PING, SETTINGS, PRIORITY, frames of unknown kind.
CONTROLS_PER_SECOND: Final = 50
EMPTY_BURST: Final = 1_000  # DATA that holds nothing and ends nothing, and frames of calls past.
EMPTY_PER_SECOND: Final = 200
UPDATES_BURST: Final = 50_000  # A reader of many small answers sends two for each.
UPDATES_PER_SECOND: Final = 20_000
