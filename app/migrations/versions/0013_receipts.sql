-- Receipts: numbered per year, without a gap, once for each order.

CREATE TABLE payments.receipts (
    order_id uuid NOT NULL,
    year integer NOT NULL,
    number integer NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_receipts PRIMARY KEY (order_id),
    CONSTRAINT uq_receipts_year_number UNIQUE (year, number),
    CONSTRAINT fk_receipts_order_id_orders FOREIGN KEY (order_id) REFERENCES payments.orders (id),
    CONSTRAINT ck_receipts_number CHECK (number >= 1),
    -- The year is the one it was issued in, UTC, whatever the session's time zone is.
    CONSTRAINT ck_receipts_year CHECK (year = extract(year FROM issued_at AT TIME ZONE 'UTC'))
);
