-- What work on findings is about: it goes on where the endpoint is merged into another one; `carried` is to what. What was taught stays with
-- the endpoint that it was taught of (`taught.carried` is not used), and goes on where names of parameters alone are others there.
ALTER TABLE work ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE work ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE work ADD COLUMN carried TEXT;
ALTER TABLE taught ADD COLUMN carried TEXT;
UPDATE work SET rule = n.rule, endpoint = n.endpoint FROM now_findings n WHERE n.id = work.finding;
CREATE INDEX work_endpoint ON work (endpoint) WHERE endpoint <> '';
CREATE INDEX taught_endpoint ON taught (endpoint) WHERE endpoint <> '';
