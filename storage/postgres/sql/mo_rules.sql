-- Whose messages from phones are, as operators change and list it.

-- name: find
SELECT number, account, via, keyword, is_prefix FROM mo_numbers
 WHERE number = $1 AND keyword = $2 AND is_prefix = $3;

-- name: remove
DELETE FROM mo_numbers WHERE number = $1 AND keyword = $2 AND is_prefix = $3;

-- name: rules
SELECT number, account, via, keyword, is_prefix FROM mo_numbers ORDER BY number, is_prefix, keyword;
