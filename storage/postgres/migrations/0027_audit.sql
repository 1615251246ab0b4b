-- Where an order came from, the role between reading and administering, and dead letters that an operator has closed.

ALTER TABLE audit_log ADD COLUMN address text NOT NULL DEFAULT '';
CREATE INDEX audit_log_subject ON audit_log (subject, id);
CREATE INDEX audit_log_operator ON audit_log (operator, id);

ALTER TABLE operators DROP CONSTRAINT operators_role_check;
ALTER TABLE operators ADD CONSTRAINT operators_role_check CHECK (role IN ('admin', 'support', 'read'));

ALTER TABLE journal_dead_letters ADD COLUMN closed_at timestamptz, ADD COLUMN closed_by text;
GRANT UPDATE (closed_at, closed_by) ON journal_dead_letters TO smscd;
