-- What was fixed when the installation was made.

-- name: install
INSERT INTO installation (shards, granularity) VALUES ($1, $2) ON CONFLICT (only_row) DO NOTHING;

-- name: get_installation
SELECT id, shards, granularity, created_at FROM installation;
