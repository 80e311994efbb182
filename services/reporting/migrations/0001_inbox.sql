-- Which events had their effect, in the database of that effect: the database of a consumer, not of
-- a shard. A consumer with tables of its own keeps migrations of its own, which begin with this one.

CREATE TABLE inbox (
    consumer    text         NOT NULL,
    event_id    text         NOT NULL,
    handled_at  timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT inbox_pkey PRIMARY KEY (consumer, event_id),
    CONSTRAINT inbox_consumer_form CHECK (consumer ~ '^[a-z0-9-]{1,64}$'),
    CONSTRAINT inbox_event_id_length CHECK (length(event_id) BETWEEN 1 AND 255)
);
COMMENT ON TABLE inbox IS 'One row per event and consumer, written with the effect of the event.';

-- Ids are deleted by age. Rows come in the order of time, so that this only grows at its end.
CREATE INDEX inbox_handled_at ON inbox (handled_at);
