-- Partitions of the record. The function make_partition belongs to the owner and is all that the daemon may do here.

-- name: list
SELECT parent, name, lower_id, upper_id, rows_estimate, size_bytes FROM record_partitions
 ORDER BY parent, lower_id NULLS FIRST;

-- name: make
SELECT make_partition($1, $2, $3, $4);

-- name: stray_messages
SELECT count(*) FROM (SELECT FROM messages_default LIMIT $1) AS rows;

-- name: stray_segments
SELECT count(*) FROM (SELECT FROM segments_default LIMIT $1) AS rows;

-- name: stray_message_events
SELECT count(*) FROM (SELECT FROM message_events_default LIMIT $1) AS rows;

-- name: stray_ledger_entries
SELECT count(*) FROM (SELECT FROM ledger_entries_default LIMIT $1) AS rows;
