-- Where more was given back than came, a gateway takes the rest from our bank: a payout below zero.

ALTER TABLE payments.gateway_payouts
    DROP CONSTRAINT ck_gateway_payouts_amount,
    ADD CONSTRAINT ck_gateway_payouts_amount CHECK (amount <> 0 AND amount BETWEEN -9007199254740991 AND 9007199254740991)
        NOT VALID;
ALTER TABLE payments.gateway_payouts VALIDATE CONSTRAINT ck_gateway_payouts_amount;

-- Earlier releases gave up on their news. In an hour: until then one of them may still be running.
UPDATE payments.webhook_inbox SET state = 'failed', handled_at = NULL, next_attempt_at = now() + interval '1 hour'
 WHERE state = 'abandoned' AND event ->> 'kind' IN ('payout_paid', 'payout_failed') AND (event ->> 'amount')::bigint < 0;
