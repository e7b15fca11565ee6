-- The runner's functions find their tables, and the app may call them.
DO $$
DECLARE
    item regprocedure;
    counter regclass;
BEGIN
    FOR item IN SELECT p.oid FROM pg_proc p
                 WHERE p.pronamespace = 'payments'::regnamespace AND p.proname LIKE 'procrastinate%' LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = payments, pg_temp', item);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO payments_app', item);
    END LOOP;
    FOR counter IN SELECT c.oid FROM pg_class c
                    WHERE c.relnamespace = 'payments'::regnamespace AND c.relkind = 'S'
                      AND c.relname LIKE 'procrastinate%' LOOP
        EXECUTE format('GRANT USAGE ON SEQUENCE %s TO payments_app', counter);
    END LOOP;
END;
$$;
