-- The books are checked every minute, what has changed of late only (payments.worker.invariants).

-- Entries are written in the order of their time, so a few ranges of blocks are all there is to read.
CREATE INDEX ix_ledger_entries_created_at ON payments.ledger_entries
    USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX ix_payments_updated_at ON payments.payments (updated_at);
CREATE INDEX ix_orders_updated_at ON payments.orders (updated_at);
CREATE INDEX ix_refunds_payment_id ON payments.refunds (payment_id);
