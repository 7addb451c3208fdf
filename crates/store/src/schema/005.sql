-- Who of a campaign has which verdict.
DROP INDEX now_verdicts_campaign;
CREATE INDEX now_verdicts_member ON now_verdicts (campaign, kind, subject);
