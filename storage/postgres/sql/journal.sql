-- What the writer runs, in one transaction a batch.

-- name: make_offset
INSERT INTO journal_offsets (shard) VALUES ($1) ON CONFLICT (shard) DO NOTHING;

-- name: read_offset
SELECT last_id, ledger_id FROM journal_offsets WHERE shard = $1;

-- name: advance_offset
UPDATE journal_offsets SET last_id = $3, ledger_id = $4, committed_at = now() WHERE shard = $1 AND last_id = $2;

-- name: ledger_heads
SELECT a.account, e.seq, e.balance_micros, e.hash
  FROM unnest($1::text[]) AS a (account)
 CROSS JOIN LATERAL (SELECT seq, balance_micros, hash FROM ledger_entries l
                      WHERE l.account = a.account ORDER BY l.seq DESC LIMIT 1) AS e;

-- name: known_references
SELECT reference FROM ledger_references WHERE reference = ANY ($1::text[]);

-- name: insert_references
INSERT INTO ledger_references (account, reference, entry) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[]);

-- name: insert_ledger_entries
INSERT INTO ledger_entries
       (id, account, seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference, operator,
        note, at, prev_hash, hash, corrects)
SELECT id, account, seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference, operator,
       note, timestamptz 'epoch' + at_ms * interval '1 millisecond', prev_hash, hash, corrects
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::integer[],
              $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bytea[], $15::bytea[],
              $16::text[])
       AS e (id, account, seq, kind, amount_micros, balance_micros, messages, journal_from, journal_to, reference,
             operator, note, at_ms, prev_hash, hash, corrects);

-- name: insert_dead_letter
INSERT INTO journal_dead_letters
       (shard, journal_from, journal_to, kind, message_id, account, price_micros, refunded_micros, charge_entry, record,
        error)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- What is sent instead of what was admitted in an earlier batch, and by which upstream. For the bounds and `m.id = ANY`
-- see update_messages.
-- name: replace_messages
UPDATE messages m
   SET body = r.body, segments = r.segments, segment_sizes = r.sizes::integer[], data_coding = r.data_coding,
       esm_class = r.esm_class, registered_delivery = r.registered_delivery,
       valid_until = timestamptz 'epoch' + r.valid_until_ms * interval '1 millisecond', conversion = r.conversion,
       send_at = timestamptz 'epoch' + nullif(r.send_at_ms, 0) * interval '1 millisecond', tlvs = r.tlvs,
       upstream = r.upstream, cost_micros = r.cost_micros
  FROM unnest($1::bigint[], $2::bytea[], $3::smallint[], $4::text[], $5::smallint[], $6::smallint[], $7::smallint[],
              $8::bigint[], $9::bytea[], $10::bigint[], $11::bytea[], $12::text[], $13::bigint[])
       AS r (id, body, segments, sizes, data_coding, esm_class, registered_delivery, valid_until_ms, conversion,
             send_at_ms, tlvs, upstream, cost_micros)
 WHERE m.id = r.id AND m.id = ANY ((SELECT $1)::bigint[]) AND m.id >= $14 AND m.id < $15;

-- Rows of earlier batches. s has what was learned, a line for all messages of which the same was learned (a shape), u
-- which message has which. A final state stays. `m.id = ANY` makes the plan certain (one pass over the primary key of
-- the partitions between the bounds, hash-joined: see WRITER_SETTINGS), whatever the statistics of a young partition
-- say. `(SELECT $1)` keeps the planner from comparing each id with each partition, which took longer than the update.
-- name: update_messages
UPDATE messages m
   SET state = CASE WHEN m.state >= 4 THEN m.state ELSE greatest(m.state, s.state) END,
       done_at = CASE WHEN m.state >= 4 OR s.done_ms = 0 THEN m.done_at
                      ELSE timestamptz 'epoch' + s.done_ms * interval '1 millisecond' END,
       error_code = CASE WHEN m.state >= 4 THEN m.error_code WHEN s.state = 4 THEN NULL
                         ELSE coalesce(s.error_code, m.error_code) END,
       upstream = coalesce(nullif(s.upstream, ''), m.upstream),
       attempts = greatest(m.attempts, s.attempts),
       callbacks_open = m.callbacks_open + s.callbacks_open,
       callback_state = CASE WHEN m.callbacks_open + s.callbacks_open > 0 THEN 1
                             WHEN s.callback_state <> 0 THEN s.callback_state
                             WHEN m.callback_state = 1 THEN 0 ELSE m.callback_state END,
       callback_at = CASE WHEN s.callback_ms = 0 THEN m.callback_at
                          ELSE timestamptz 'epoch' + s.callback_ms * interval '1 millisecond' END,
       callback_attempts = CASE WHEN s.callback_ms = 0 THEN m.callback_attempts ELSE s.callback_attempts END,
       refunded_micros = m.refunded_micros + s.refunded_micros,
       refund_entry = coalesce(nullif(s.refund_entry, 0), m.refund_entry),
       maybe_duplicate = (m.maybe_duplicate OR s.maybe_duplicate)
                         AND (CASE WHEN m.state >= 4 THEN m.state ELSE greatest(m.state, s.state) END) <> 9
  FROM unnest($1::bigint[], $2::bigint[]) AS u (id, shape)
  JOIN unnest($3::smallint[], $4::bigint[], $5::text[], $6::smallint[], $7::smallint[], $8::smallint[], $9::bigint[],
              $10::smallint[], $11::bigint[], $12::bigint[], $13::text[], $14::boolean[])
       WITH ORDINALITY AS s (state, done_ms, upstream, attempts, callbacks_open, callback_state, callback_ms,
                             callback_attempts, refunded_micros, refund_entry, error_code, maybe_duplicate, shape)
       ON s.shape = u.shape
 WHERE m.id = u.id AND m.id = ANY ((SELECT $1)::bigint[]) AND m.id >= $15 AND m.id < $16;
