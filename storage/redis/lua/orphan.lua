-- Tell the record of receipts whose message nobody found, before they are forgotten here.
-- include: _session
-- KEYS[1] session   KEYS[2] journal
-- ARGV[3] journal blob of OrphanRecords
-- REPLY   {now_ms, journal id}
local journal_id = redis.call('XADD', KEYS[2], '*', 'k', 'O', 'b', ARGV[3])
return finish({whole(now_ms), journal_id})
