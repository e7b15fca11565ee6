-- Accounts for what is not money of a state, and for what happens between currencies.

-- Points and tokens are ours, crypto money is not; both count in units of their own.
-- ETH counts in gwei: its 18 places would leave room for nine thousandths of one in 2^53.
INSERT INTO payments.currencies (code, exponent, kind) VALUES
    ('PTS', 0, 'token'),
    ('TOK', 2, 'token'),
    ('BTC', 8, 'crypto'),
    ('ETH', 9, 'crypto'),
    ('LTC', 8, 'crypto'),
    ('TRX', 6, 'crypto'),
    ('USDC', 6, 'crypto'),
    ('USDT', 6, 'crypto');

-- What an account may hold: a wallet of money holds no tokens, whoever asks for it.
ALTER TABLE payments.ledger_purposes ADD COLUMN holds text[] NOT NULL DEFAULT '{iso}';
ALTER TABLE payments.ledger_purposes ADD CONSTRAINT ck_ledger_purposes_holds
    CHECK (holds <@ '{iso,token,crypto}' AND cardinality(holds) > 0);
UPDATE payments.ledger_purposes SET holds = '{iso,token,crypto}'
 WHERE purpose IN ('suspense', 'gateway_clearing', 'fees');

INSERT INTO payments.ledger_purposes (purpose, normal_side, floor, shards, description, holds) VALUES
    ('token_wallet', 'credit', 0, 1, 'tokens that a customer holds', '{token}'),
    ('crypto_wallet', 'credit', 0, 1, 'crypto money that we owe a customer', '{crypto}'),
    ('rewards', 'credit', 0, 1, 'points that a customer has earned', '{token}'),
    ('issued', 'debit', NULL, 8, 'tokens and points that we have issued', '{token}'),
    ('exchange', 'credit', NULL, 8, 'our position in a currency from exchanging it', '{iso,token,crypto}'),
    ('gateway_fees', 'debit', NULL, 8, 'what gateways keep of what they take for us', '{iso,crypto}'),
    ('disputed', 'debit', NULL, 1, 'what a gateway has taken back while a dispute is open', '{iso,crypto}'),
    ('dispute_losses', 'debit', NULL, 1, 'what disputes have cost us', '{iso,crypto}'),
    ('bank', 'debit', NULL, 1, 'what gateways have paid out to our bank', '{iso,crypto}'),
    ('payable', 'credit', NULL, 1, 'what is on its way out to a merchant', '{iso}');

CREATE FUNCTION payments.ledger_check_kind() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = payments, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM ledger_purposes p JOIN currencies c ON c.code = NEW.currency
                WHERE p.purpose = NEW.purpose AND NOT c.kind = ANY (p.holds)) THEN
        RAISE EXCEPTION 'an account for % holds no %', NEW.purpose, NEW.currency USING ERRCODE = 'PL007';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER ledger_accounts_kind BEFORE INSERT ON payments.ledger_accounts
    FOR EACH ROW EXECUTE FUNCTION payments.ledger_check_kind();

-- How much of `quote` one `base` is worth to a customer, both in major units. A rate is never
-- changed: a new one is added, and what was exchanged at the old one keeps naming it.
CREATE TABLE payments.exchange_rates (
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    rate numeric(30, 12) NOT NULL,
    source text NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_until timestamptz NOT NULL,
    CONSTRAINT pk_exchange_rates PRIMARY KEY (id),
    CONSTRAINT fk_exchange_rates_base_currencies FOREIGN KEY (base) REFERENCES payments.currencies (code),
    CONSTRAINT fk_exchange_rates_quote_currencies FOREIGN KEY (quote) REFERENCES payments.currencies (code),
    CONSTRAINT ck_exchange_rates_pair CHECK (base <> quote),
    CONSTRAINT ck_exchange_rates_rate CHECK (rate > 0),
    CONSTRAINT ck_exchange_rates_source CHECK (length(source) BETWEEN 1 AND 120),
    CONSTRAINT ck_exchange_rates_valid CHECK (valid_until > valid_from)
);
CREATE INDEX ix_exchange_rates_base_quote_valid_from ON payments.exchange_rates (base, quote, valid_from);
