-- Which buckets a shard owns. This and no map says so; only the shard's own lane changes it (R20).

CREATE TABLE lane_buckets (
    shard    text    NOT NULL,
    region   text    NOT NULL,
    version  bigint  NOT NULL,
    ranges   text    NOT NULL,
    CONSTRAINT lane_buckets_pkey PRIMARY KEY (shard),
    CONSTRAINT lane_buckets_version_positive CHECK (version > 0)
) WITH (fillfactor = 10);
COMMENT ON TABLE lane_buckets IS
    'One row per shard; without it the shard is alone and has everything.';
COMMENT ON COLUMN lane_buckets.version IS
    'Grows by one with every change; apply compares it with the one that a batch was decided with.';
COMMENT ON COLUMN lane_buckets.ranges IS
    'JSON: [[first bucket, last bucket, OWNED or FROZEN or MOVED, shard that has it now], ...]';

GRANT SELECT ON lane_buckets TO tender_lane, tender_reader;
GRANT INSERT, UPDATE ON lane_buckets TO tender_lane;
