-- The directory: which shard has which buckets of a region. Only in one shard's database is it used;
-- a hint for gateways, so its owner writes it and everybody else reads.

-- Trusted: the owner of a database may create it.
CREATE EXTENSION IF NOT EXISTS btree_gist;

CREATE TABLE shard_map_version (
    is_current  boolean  NOT NULL DEFAULT TRUE,
    version     bigint   NOT NULL,
    CONSTRAINT shard_map_version_pkey PRIMARY KEY (is_current),
    CONSTRAINT shard_map_version_one_row CHECK (is_current),
    CONSTRAINT shard_map_version_positive CHECK (version > 0)
);
COMMENT ON TABLE shard_map_version IS 'One row; grows with every change of shard_map_ranges.';

CREATE TABLE shard_map_ranges (
    region        text     NOT NULL,
    first_bucket  integer  NOT NULL,
    last_bucket   integer  NOT NULL,
    shard         text     NOT NULL,
    CONSTRAINT shard_map_ranges_pkey PRIMARY KEY (region, first_bucket),
    CONSTRAINT shard_map_ranges_buckets CHECK (
        first_bucket >= 0 AND first_bucket <= last_bucket AND last_bucket < 1024
    ),
    CONSTRAINT shard_map_ranges_region_form CHECK (region ~ '^[a-z0-9]{2,8}$'),
    CONSTRAINT shard_map_ranges_shard_form CHECK (shard ~ '^[a-z0-9-]{1,16}$'),
    CONSTRAINT shard_map_ranges_apart EXCLUDE USING gist (
        region WITH =, int4range(first_bucket, last_bucket, '[]') WITH &&
    )
);

GRANT SELECT ON shard_map_version, shard_map_ranges TO tender_lane, tender_reader;
