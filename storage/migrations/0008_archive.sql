-- Rows of the journal that are kept in files (R17, decision record 0027): which, and what may go.

CREATE TABLE journal_ranges (
    first_seq      bigint       NOT NULL,
    last_seq       bigint       NOT NULL,
    incarnation    text         NOT NULL,
    previous_hash  bytea        NOT NULL,
    last_hash      bytea        NOT NULL,
    first_at       timestamptz  NOT NULL,
    last_at        timestamptz  NOT NULL,
    name           text         NOT NULL,
    bytes          bigint       NOT NULL,
    sha256         bytea        NOT NULL,
    archived_at    timestamptz  NOT NULL DEFAULT now(),
    CONSTRAINT journal_ranges_pkey PRIMARY KEY (first_seq),
    CONSTRAINT journal_ranges_last_key UNIQUE (last_seq),
    CONSTRAINT journal_ranges_name_key UNIQUE (name),
    CONSTRAINT journal_ranges_in_order CHECK (first_seq > 0 AND last_seq >= first_seq),
    CONSTRAINT journal_ranges_hash_length CHECK (
        octet_length(previous_hash) = 32 AND octet_length(last_hash) = 32
        AND octet_length(sha256) = 32
    )
);
COMMENT ON TABLE journal_ranges IS
    'One row per file of journal rows, of one history each; without a gap from the first row on.';
COMMENT ON COLUMN journal_ranges.sha256 IS
    'Of the file, which was read back before this was written.';

-- A range is noted only where it follows the one before and ends as the journal does there.
CREATE FUNCTION note_journal_range_v1(
    p_first_seq bigint, p_last_seq bigint, p_incarnation text, p_previous_hash bytea,
    p_last_hash bytea, p_name text, p_bytes bigint, p_sha256 bytea
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_before bigint;
    v_hash bytea;
    v_first_at timestamptz;
    v_last_at timestamptz;
BEGIN
    -- One at a time.
    LOCK TABLE journal_ranges IN SHARE ROW EXCLUSIVE MODE;
    SELECT r.last_seq, r.last_hash INTO v_before, v_hash
      FROM journal_ranges AS r ORDER BY r.last_seq DESC LIMIT 1;
    IF p_first_seq <> coalesce(v_before, 0) + 1 THEN
        RAISE EXCEPTION 'the range does not follow the one before' USING ERRCODE = 'TN101';
    END IF;
    IF v_hash IS NOT NULL AND v_hash <> p_previous_hash THEN
        RAISE EXCEPTION 'the range is of another history' USING ERRCODE = 'TN101';
    END IF;
    SELECT j.created_at INTO v_first_at
      FROM journal AS j
     WHERE j.seq = p_first_seq AND j.previous_hash = p_previous_hash
           AND j.incarnation = p_incarnation;
    SELECT j.created_at INTO v_last_at
      FROM journal AS j
     WHERE j.seq = p_last_seq AND j.hash = p_last_hash AND j.incarnation = p_incarnation;
    IF v_first_at IS NULL OR v_last_at IS NULL THEN
        RAISE EXCEPTION 'the range is not what the journal has' USING ERRCODE = 'TN101';
    END IF;
    INSERT INTO journal_ranges (
        first_seq, last_seq, incarnation, previous_hash, last_hash, first_at, last_at, name, bytes,
        sha256
    )
    VALUES (
        p_first_seq, p_last_seq, p_incarnation, p_previous_hash, p_last_hash, v_first_at,
        v_last_at, p_name, p_bytes, p_sha256
    );
END
$$;

-- Who needs which rows. Whoever is not there is past everything, but for the relay: without one
-- nothing was told.
CREATE FUNCTION journal_holders_v1() RETURNS TABLE (holder text, through bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT 'archive', coalesce(max(r.last_seq), 0) FROM journal_ranges AS r
    UNION ALL
    SELECT 'relay', coalesce(min(r.position), 0) FROM relays AS r
    UNION ALL
    -- The lane and its readers look at the newest ones.
    SELECT 'newest 100 rows', coalesce(max(j.seq), 0) - 100 FROM journal AS j
    UNION ALL
    (WITH RECURSIVE destinations AS (
        SELECT min(s.destination) AS name FROM legs_sent AS s
        UNION ALL
        SELECT (SELECT min(s.destination) FROM legs_sent AS s WHERE s.destination > d.name)
          FROM destinations AS d
         WHERE d.name IS NOT NULL
     )
     SELECT 'courier to ' || d.name, waiting.seq - 1
       FROM destinations AS d
      CROSS JOIN LATERAL (
            SELECT s.seq
              FROM legs_sent AS s
             WHERE s.destination = d.name
                   AND s.number > coalesce((SELECT a.number
                                              FROM legs_acknowledged AS a
                                             WHERE a.destination = d.name), 0)
             ORDER BY s.number
             LIMIT 1
           ) AS waiting)
$$;

-- Deletes the oldest rows, as far as nobody needs them, and says how many that were.
CREATE FUNCTION delete_archived_v1(
    p_through bigint, p_older_than timestamptz, p_limit integer
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_through bigint;
    v_deleted bigint;
BEGIN
    SELECT least(p_through, min(h.through)) INTO v_through FROM journal_holders_v1() AS h;
    DELETE FROM journal AS j
     WHERE j.seq IN (
            SELECT o.seq
              FROM journal AS o
             WHERE o.seq <= v_through AND o.created_at < p_older_than
             ORDER BY o.seq
             LIMIT p_limit
           );
    GET DIAGNOSTICS v_deleted = ROW_COUNT;
    RETURN v_deleted;
END
$$;

REVOKE EXECUTE ON FUNCTION note_journal_range_v1 FROM public;
REVOKE EXECUTE ON FUNCTION delete_archived_v1 FROM public;
REVOKE EXECUTE ON FUNCTION journal_holders_v1 FROM public;

-- The relay's process archives: it reads the journal anyhow.
GRANT EXECUTE ON FUNCTION note_journal_range_v1 TO tender_publisher;
GRANT EXECUTE ON FUNCTION delete_archived_v1 TO tender_publisher;
GRANT EXECUTE ON FUNCTION journal_holders_v1 TO tender_publisher, tender_reader;
GRANT SELECT ON journal_ranges TO tender_publisher, tender_reader, tender_lane;
GRANT SELECT ON lanes, bucket_copies, lane_buckets TO tender_publisher;
