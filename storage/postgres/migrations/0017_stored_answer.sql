-- What Redis has under a request key, so that `smscd recover` can give the same answer again; null without a key.
ALTER TABLE messages ADD COLUMN stored_answer bytea;
