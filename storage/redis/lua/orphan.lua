-- Tell the record of receipts whose message nobody found: before they are forgotten here, or in case that Redis is lost.
-- include: _session
-- KEYS[1] session   KEYS[2] journal
-- ARGV[3] kind of the journal entry: O or H   ARGV[4] journal blob of OrphanRecords
-- REPLY   {now_ms, journal id}
local journal_id = redis.call('XADD', KEYS[2], '*', 'k', ARGV[3], 'b', ARGV[4])
return finish({whole(now_ms), journal_id})
